"""Write the generated pages of the documentation: `python -m scripts.make_reference docs`.

Command line, Python API, recipes, documents and package layers come from the code itself, and the
contributing page and the changelog from the files at the top of the repository. The pages are not
committed: `make docs` writes them before it builds the site.
"""

from __future__ import annotations

import inspect
import io
import re
import sys
import tokenize
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from enum import Enum
from html import escape
from importlib import import_module
from pathlib import Path
from types import ModuleType

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import boneseg
from boneseg.cli import app
from boneseg.evaluation.metrics import DIAGONAL, METRICS, columns
from boneseg.recipes.builtin import BUILT_IN, load_recipe
from boneseg.recipes.recipe import Recipe
from boneseg.training.components import component_comments

ROOT = Path(__file__).resolve().parent.parent
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
DOCUMENTS = (  # file, module, class of one entry
    ("segment.json", "boneseg.inference.batch", "Result"),
    ("convert.json", "boneseg.dataset.convert", "Converted"),
    ("model.json", "boneseg.bundle.card", "Card"),
)


def main() -> None:
    """Write every generated page below the folder given."""
    for name, text in pages().items():
        path = Path(sys.argv[1]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """Every generated page, by its path below docs."""
    return {
        "reference/command-line.md": command_line(),
        "reference/python.md": python_api(),
        "reference/recipes.md": recipes(),
        "reference/metrics.md": metrics(),
        "reference/documents.md": documents(),
        "explanation/layers.html": layers(),
        "contributing/index.md": from_top("CONTRIBUTING.md", "../"),
        "changelog.md": from_top("CHANGELOG.md", ""),
    }


def from_top(name: str, up: str) -> str:
    """A file of the repository's top as a page, its links relative to the page."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return text.replace("](docs/", f"]({up}").replace("](CHANGELOG.md", f"]({up}changelog.md")


# Command line


def command_line() -> str:
    """The page of all verbs and their options."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [
        "# Command line",
        "",
        "This page is generated from the command line itself; `boneseg VERB --help` prints the "
        "same. Exit status: 0 if all is done, 1 if some inputs failed (each is named with its "
        "reason, and the others are done), 2 if the call is invalid.",
    ]
    for verb, command in commands.items():
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        words = " ".join(_argument(one) for one in arguments)
        options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
        needed = " ".join(f"{p.opts[0]} {_metavar(p)}" for p in options if p.required)
        call = " ".join(filter(None, ("boneseg", verb, words, needed, "[OPTIONS]")))
        lines += ["", f"## boneseg {verb}", "", _sentence(command.help), "", "```text", call, "```"]
        rows = [(f"`{_argument(p)}`", _cell(p.help)) for p in arguments]
        if rows:
            lines += ["", *_table(("argument", "meaning"), rows)]
        panels: dict[str, list[tuple[str, str, str]]] = {}
        for option in options:
            row = (_option(option), _cell(option.help), _default(option))
            panels.setdefault(option.rich_help_panel or "Options", []).append(row)
        for panel, listed in panels.items():
            lines += ["", f"**{panel}**", "", *_table(("option", "meaning", "default"), listed)]
    return "\n".join(lines) + "\n"


def _argument(parameter: typer.core.TyperArgument) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    name = str(parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _metavar(option: typer.core.TyperOption) -> str:
    if option.is_flag:
        return ""
    kind = option.type_descriptor.annotation
    if option.metavar:
        return str(option.metavar)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(one.value) for one in kind)
    choices = getattr(kind, "__args__", ())
    if choices and all(isinstance(one, str) for one in choices):  # a Literal
        return "|".join(choices)
    kind = choices[0] if choices else kind
    names = {Path: "PATH", str: "TEXT", int: "INTEGER", float: "NUMBER"}
    return names.get(kind, "TEXT")


def _option(option: typer.core.TyperOption) -> str:
    metavar = _metavar(option)
    return f"`{', '.join(option.opts)}{' ' + metavar if metavar else ''}`"


def _default(option: typer.core.TyperOption) -> str:
    if option.required:
        return "required"
    if option.default is None or option.is_flag or option.default == ():
        return ""
    value = option.default.value if isinstance(option.default, Enum) else option.default
    return f"`{value}`"


# Python API


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
    lines += _prose(inspect.getdoc(found) or "")
    if not inspect.isclass(found):
        return lines
    if is_dataclass(found) or issubclass(found, BaseModel):
        rows = [(f"`{field}`", f"`{kind}`", note) for field, kind, note in _fields(found)]
        if any(note for *_, note in rows):
            lines += ["", *_table(("field", "type", "meaning"), rows)]
        else:
            lines += ["", *_table(("field", "type"), [row[:2] for row in rows])]
    for method, value in vars(found).items():
        if method.startswith("_"):
            continue
        if inspect.isfunction(value) or isinstance(value, classmethod):
            function = inspect.unwrap(getattr(found, method))
            if function.__doc__:
                call = _signature(f"{name}.{method}", function)
                lines += ["", "```python", call, "```", "", *_prose(inspect.getdoc(function) or "")]
        elif isinstance(value, property) and value.__doc__:
            lines += ["", f"**`{name}.{method}`**: {_joined(inspect.getdoc(value) or '')}"]
    if name == "BonesegError":
        lines += ["", *_errors()]
    return lines


def _errors() -> list[str]:
    """A table of all public errors."""
    found = vars(import_module("boneseg.errors")).values()
    kinds = [one for one in found if inspect.isclass(one) and issubclass(one, Exception)]
    rows = [(f"`boneseg.errors.{one.__name__}`", _joined(one.__doc__ or "")) for one in kinds]
    return _table(("error", "meaning"), rows)


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
            word += f": {_annotation(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            word += f" = {parameter.default!r}"
        words.append(word)
    returned = signature.return_annotation
    arrow = "" if returned is signature.empty else f" -> {_annotation(returned)}"
    one_line = f"{name}({', '.join(words)}){arrow}"
    if len(one_line) <= 80:
        return one_line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){arrow}"


def _annotation(kind: object) -> str:
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


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
        elif re.match(r"[a-z_0-9, ]+: ", rows[0]):
            for row in rows:
                known = re.match(r"([a-z_0-9, ]+): (.*)", row)
                if known:
                    names = ", ".join(f"`{name.strip()}`" for name in known[1].split(","))
                    lines.append(f"- {names}: {_escaped(known[2])}")
                else:
                    lines.append(f"  {_escaped(row.strip())}")
        else:
            lines += [_escaped(row) for row in rows]
        lines.append("")
    return lines[:-1]


def _joined(docstring: str) -> str:
    return _escaped(" ".join(docstring.split()))


def _escaped(text: str) -> str:
    """Text whose underscores and asterisks are not markup."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([*_<])", r"\\\1", piece) for piece in pieces
    )


def _fields(kind: type) -> Iterable[tuple[str, str, str]]:
    """Name, type and the comment behind each field of a class, in the order of the source."""
    source = inspect.cleandoc(inspect.getsource(kind))
    comments: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string.lstrip("# ")
    rows = source.splitlines()
    described = getattr(kind, "model_fields", {})
    for name, annotation in inspect.get_annotations(kind).items():
        if name.startswith("_") or "ClassVar" in str(annotation) or name == "model_config":
            continue
        starts = [n for n, row in enumerate(rows, 1) if re.match(rf"    {name}: ", row)]
        note = comments.get(starts[0], "") if starts else ""
        info = described.get(name)
        note = info.description if info is not None and info.description else note
        yield name, _annotation(annotation), _escaped(note)


# Recipes


def recipes() -> str:
    """The page of all recipes and settings."""
    lines = [
        "# Recipes",
        "",
        "This page is generated from the recipes themselves. A recipe is every setting of a "
        "training run. `boneseg train --recipe` takes a built-in recipe by name, or a TOML file; "
        "`--set section.key=value` changes a setting. `boneseg recipes NAME` prints a recipe as "
        "TOML. Settings without a value are derived from the films when training starts.",
        "",
        "## Built-in recipes",
        "",
        *_table(("name", "what it is"), [(f"`{k}`", v.summary) for k, v in BUILT_IN.items()]),
        "",
        "## Settings",
    ]
    comments = component_comments()
    for section, info in Recipe.model_fields.items():
        kind = info.annotation
        if not (inspect.isclass(kind) and issubclass(kind, BaseModel)):
            continue
        rows = [
            (
                f"`{section}.{name}`",
                comments.get(f"{section}.{name}", field.description or ""),
                _value(field),
                _range(field),
            )
            for name, field in kind.model_fields.items()
        ]
        lines += ["", f"### {section}", "", _joined(kind.__doc__ or ""), ""]
        lines += _table(("setting", "meaning", "default", "allowed"), rows)
    text = load_recipe("default").to_toml(comments).rstrip()
    lines += ["", "## The default recipe as a file", "", "```toml", *text.splitlines(), "```"]
    return "\n".join(lines) + "\n"


def _value(field: FieldInfo) -> str:
    default = field.default
    if default is None:
        return "from the films" if "from the" in (field.description or "") else "–"
    if isinstance(default, tuple):
        default = list(default)
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _range(field: FieldInfo) -> str:
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(one, str) for one in choices):
        return ", ".join(f"`{one}`" for one in choices)
    words = []
    for bound in field.metadata:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (number := getattr(bound, name, None)) is not None:
                words.append(f"{sign} {number}")
    return " and ".join(words)


# Metrics


def metrics() -> str:
    """The page of all metrics."""
    lines = [
        "# Metrics",
        "",
        "This page is generated from the registered metrics. P is the prediction and T the truth, "
        "as sets of pixels. [The policy](../explanation/metrics.md) says how they are averaged.",
        "",
    ]
    rows = []
    for name in columns():
        one = METRICS[name]
        direction = "higher" if one.higher_is_better else "lower"
        alone = "diagonal of the image" if one.one_empty == DIAGONAL else f"{one.one_empty:g}"
        rows.append((f"`{name}`", one.description, direction, f"{one.both_empty:g}", alone))
    lines += _table(("name", "meaning", "better", "both masks empty", "one empty"), rows)
    return "\n".join(lines) + "\n"


# Documents


def documents() -> str:
    """The page of the JSON files that boneseg writes."""
    lines = [
        "# JSON documents",
        "",
        "This page is generated from the types that write these files. Unknown values are `null`.",
    ]
    for name, module, kind in DOCUMENTS:
        found = getattr(import_module(module), kind)
        rows = [
            (f"`{field}`", f"`{annotation}`", note) for field, annotation, note in _fields(found)
        ]
        lines += ["", f"## {name}", "", _joined(found.__doc__ or ""), ""]
        lines += _table(("key", "type", "meaning"), rows)
    return "\n".join(lines) + "\n"


# Layers


def layers() -> str:
    """The layers of import-linter's contract, top first, as HTML with what each package is."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (
        one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers"
    )
    rows = ['<div class="layers" markdown="0">']
    for layer in contract["layers"]:
        rows.append('<div class="layer">')
        for package in layer.split(" | "):
            module = import_module(f"boneseg.{package}") if package != "__main__" else None
            words = escape(_summary(module)) if module else "<code>python -m boneseg</code>"
            rows.append(f"<div><strong>{package}</strong><span>{words}</span></div>")
        rows.append("</div>")
    return "\n".join([*rows, "</div>"]) + "\n"


def _summary(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().partition("\n")[0].rstrip(".")


# Markdown


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return [line(heads), line(["---"] * len(heads)), *map(line, rows)]


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str | None) -> str:
    return _escaped(_sentence(text)).rstrip(".")


if __name__ == "__main__":
    main()
