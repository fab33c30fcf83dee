"""Plain data in TOML: read, and written with a comment for each setting."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from boneseg._util.files import open_regular
from boneseg.errors import RecipeError

LARGEST_FILE = 50_000  # bytes, ten times the longest recipe


def read_toml(path: Path) -> dict[str, object]:
    """Read the settings in a TOML file as plain data. Raises RecipeError."""
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise RecipeError(f"{path}: over {LARGEST_FILE // 1000} kB, too large for a recipe")
        return tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (ValueError, RecursionError) as error:  # not TOML or UTF-8, or a huge integer
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise RecipeError(f"{path}: not TOML ({reason}); see `boneseg recipes default`") from None


def read_value(text: str) -> object:
    """A value as TOML; text that is not TOML stands for itself."""
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
        return value
    except (ValueError, RecursionError):
        return text


def written_value(value: object) -> str:
    """A number, text, bool, or a tuple of them, as TOML."""
    if isinstance(value, tuple):
        return "[" + ", ".join(written_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def written_line(key: str, value: object, comment: str) -> str:
    """The line of a setting; one that is None is commented out."""
    text = f"# {key} =" if value is None else f"{key} = {written_value(value)}"
    return f"{text:<28} # {comment}"
