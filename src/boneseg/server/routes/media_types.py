"""Media types, and their negotiation (RFC 9110, sections 8.3 and 12.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request

from boneseg.server.errors import BadRequestError

BITS, PNG, DICOM = "application/octet-stream", "image/png", "application/dicom"
JSON, FORM, CSV = "application/json", "multipart/form-data", "text/csv"


def content_type(request: Request) -> str:
    """The media type of a request in lower case, without parameters; "" where there is none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def accepted_type(request: Request, offered: Sequence[str], where: str = "") -> str:
    """The offered media type that the Accept header prefers; the first on a tie.

    Raises BadRequestError where none is acceptable; `where` is for its message.
    """
    weights = _weights(request.headers.get("accept", "*/*"))

    def weight(kind: str) -> float:
        family = f"{kind.partition('/')[0]}/*"
        return next((weights[k] for k in (kind, family, "*/*") if k in weights), 0.0)

    best = max(offered, key=weight)
    if weight(best) <= 0:
        available = " ".join(filter(None, ["available type", where]))
        raise BadRequestError(f"Accept: no {available}; choose from {', '.join(offered)}")
    return best


def _weights(accept: str) -> dict[str, float]:
    """The quality of each media range of an Accept header; 0 where it is invalid."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        q = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            weights[kind] = float(q)
        except ValueError:
            weights[kind] = 0.0
    return weights
