"""The result of a film as a row of a table."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """The result of a film.

    source: its path or URL; a hash where that identifies the patient. digest: SHA-256 of its
    content. size: of the file, bytes. seconds: of inference. outputs: the files by format, below
    OUT. skipped: formats that the film cannot have, with the reason. error: why it failed; then
    little else is known.
    """

    source: str
    digest: str | None = None
    size: int | None = None
    width: int | None = None
    height: int | None = None
    part: str | None = None
    part_confidence: float | None = None
    projection: str | None = None
    verdict: str | None = None
    reason: str | None = None
    trust: float | None = None
    area_px: int | None = None
    area_mm2: float | None = None
    spacing: str | None = None
    seconds: float | None = None
    outputs: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class Copy:
    """A film whose content has a row already, of an earlier start."""

    source: str
    digest: str
