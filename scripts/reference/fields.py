"""The fields of a class with their meaning, from the comments in its source."""

from __future__ import annotations

import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterable

from scripts.reference.markdown import escaped, summary


def fields(kind: type) -> Iterable[tuple[str, str, str]]:
    """Name, type and the comment behind each field of a class, in the order of the source."""
    source = textwrap.dedent(inspect.getsource(kind))
    comments: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
    rows = source.splitlines()
    described = getattr(kind, "model_fields", {})
    for name, kind_of_field in inspect.get_annotations(kind).items():
        if name.startswith("_") or "ClassVar" in str(kind_of_field) or name == "model_config":
            continue
        starts = [n for n, row in enumerate(rows, 1) if re.match(rf"    {name}: ", row)]
        note = comments.get(starts[0], "") if starts else ""
        info = described.get(name)
        if info is not None and info.description:
            note = info.description
        elif not note and info is not None and inspect.isclass(info.annotation):
            note = summary(info.annotation)
        yield name, annotation(kind_of_field), escaped(note)


def annotation(kind: object) -> str:
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
