"""The page of all names that `import boneseg` exports, from their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Set
from dataclasses import is_dataclass
from importlib import import_module

from pydantic import BaseModel

import boneseg
from scripts.reference.fields import annotation, fields
from scripts.reference.markdown import code, escaped, joined, table

_LONGEST = 60  # characters of a default value that a signature shows

PUBLIC = (  # headings of the Python page, and the exported names below them
    ("Segment", ("Engine", "Finding", "Radiograph", "read_radiograph")),
    ("Masks and scores", ("read_mask", "write_mask", "score", "Scores")),
    ("Datasets", ("open_dataset", "Dataset")),
    ("Training", ("load_recipe", "Recipe", "train", "TrainedRun")),
    ("Models on disk", ("load_bundle", "bundled", "Bundle")),
    (
        "Evaluation and experiments",
        (
            *("evaluate_model", "Evaluation", "cross_validate", "CrossValidation"),
            *("compare_recipes", "Comparison", "tune_recipe", "Tuned"),
        ),
    ),
    ("Errors", ("BonesegError",)),
)


def python_api() -> str:
    """The page of all names that `import boneseg` exports."""
    listed = sorted(name for _, names in PUBLIC for name in names)
    if listed != sorted(boneseg.__all__):
        raise SystemExit(f"PUBLIC lists {listed}; boneseg exports {sorted(boneseg.__all__)}")
    lines = [
        "# Python",
        "",
        "This page is generated from the docstrings of all names that `import boneseg` exports. "
        "Films are 2-D float32 arrays in [0, 1] with bright bone, masks 2-D arrays of bool, both "
        "indexed by row, then column. Every error raised on purpose is a "
        "[`BonesegError`](#bonesegerror) whose message is one line.",
    ]
    for title, names in PUBLIC:
        lines += ["", f"## {title}"]
        for name in names:
            lines += _object(name, getattr(boneseg, name))
    return "\n".join(lines) + "\n"


def _object(name: str, found: object) -> list[str]:
    lines = ["", f"### {name}", ""]
    constructed = not inspect.isclass(found) or not issubclass(found, BaseModel | Exception)
    if constructed and not is_dataclass(found):
        lines += ["```python", _signature(f"boneseg.{name}", found), "```", ""]
    docstring = inspect.getdoc(found) or ""
    if not inspect.isclass(found):
        return lines + _prose(docstring)
    if is_dataclass(found) or issubclass(found, BaseModel):
        listed = list(fields(found))
        told, docstring = _described(docstring, {field for field, *_ in listed})
        rows = [(f"`{field}`", code(kind), told.get(field, note)) for field, kind, note in listed]
        heads = ("field", "type", "meaning") if any(row[2] for row in rows) else ("field", "type")
        lines += [*_prose(docstring), "", *table(heads, [row[: len(heads)] for row in rows])]
    else:
        lines += _prose(docstring)
    for method, value in vars(found).items():
        if method.startswith("_"):
            continue
        if inspect.isfunction(value) or isinstance(value, classmethod):
            function = inspect.unwrap(getattr(found, method))
            if function.__doc__:
                call = _signature(f"{name}.{method}", function)
                lines += ["", "```python", call, "```", "", *_prose(inspect.getdoc(function) or "")]
        elif isinstance(value, property) and value.__doc__:
            lines += ["", f"**`{name}.{method}`**: {joined(inspect.getdoc(value) or '')}"]
    if name == "BonesegError":
        lines += ["", *_errors()]
    return lines


def _errors() -> list[str]:
    """A table of all public errors."""
    found = vars(import_module("boneseg.errors")).values()
    kinds = [one for one in found if inspect.isclass(one) and issubclass(one, Exception)]
    rows = [(f"`boneseg.errors.{one.__name__}`", joined(one.__doc__ or "")) for one in kinds]
    return table(("error", "meaning"), rows)


def _signature(name: str, function: object) -> str:
    """A call with its annotations, a parameter a line where it is long."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    words, star = [], False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            words.append("*")
            star = True
        word = parameter.name
        if parameter.annotation is not parameter.empty:
            word += f": {annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            value = repr(parameter.default)
            word += f" = {value if len(value) <= _LONGEST else '...'}"
        words.append(word)
    returned = signature.return_annotation
    arrow = f" -> {annotation(returned)}"
    if returned is signature.empty or inspect.isclass(function):
        arrow = ""
    one_line = f"{name}({', '.join(words)}){arrow}"
    if len(one_line) <= 80:
        return one_line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){arrow}"


def _prose(docstring: str) -> list[str]:
    """A docstring as Markdown: examples become code, `name: meaning` paragraphs become lists."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", docstring.strip()):
        rows = block.splitlines()
        if rows[0].startswith(">>>"):
            code = [row.removeprefix(">>> ").removeprefix("... ") for row in rows]
            lines += ["```python", *code, "```"]
        elif all(row.startswith("    ") for row in rows):
            lines += ["```python", *(row[4:] for row in rows), "```"]
        elif items := _items(block):
            for names, words in items:
                listed = ", ".join(f"`{name}`" for name in names)
                lines.append(f"- {listed}: {escaped(words)}")
        else:
            lines += [escaped(row) for row in rows]
        lines.append("")
    return lines[:-1]


def _items(block: str) -> list[tuple[list[str], str]]:
    """The items of a paragraph of `name: meaning`, each name in code; none of another paragraph."""
    if not re.match(r"[a-z_0-9]+(, [a-z_0-9]+)*: ", block):
        return []
    joined = " ".join(block.split())
    pieces = re.split(r"(?:^|(?<=[.;] ))((?:[a-z_0-9]+, )*[a-z_0-9]+): ", joined)
    return [
        (names.split(", "), words.strip())
        for names, words in zip(pieces[1::2], pieces[2::2], strict=True)
    ]


def _described(docstring: str, fields: Set[str]) -> tuple[dict[str, str], str]:
    """What a docstring says of each field, and the docstring without that."""
    told: dict[str, str] = {}
    kept = []
    for block in re.split(r"\n\s*\n", docstring):
        items = _items(block)
        if items and all(name in fields for names, _ in items for name in names):
            told |= {name: escaped(words) for names, words in items for name in names}
        else:
            kept.append(block)
    return told, "\n\n".join(kept)
