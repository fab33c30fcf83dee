"""Recipes, search spaces, and the tables that users write."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from boneseg.dataset.tables import read_tables
from boneseg.errors import RadiographError
from boneseg.radiograph.calibration import Calibration, calibration_of, set_calibration
from boneseg.recipes.builtin import load_recipe
from boneseg.recipes.search_space import read_space
from targets.target import Target

SPACE = b"""[optimiser.learning_rate]
low = 1e-4
high = 1e-2
log = true

[network]
width.choices = [8, 16]
"""
CALIBRATION = "name,mm_per_pixel,how\nknee.png,0.143,steel ball\nhüfte,0.2,\n".encode()
TABLE = b"name,patient\nknee.png,1\nhand,2\n"
MANIFEST = b"path,part\nknee.png,knee\n/films/hand.dcm,hand\ns3://films/foot.dcm,foot\n"


def _recipes(folder: Path) -> list[bytes]:
    return [load_recipe(name).to_toml().encode() for name in ("default", "fast")]


def these(*contents: bytes) -> Callable[[Path], list[bytes]]:
    return lambda folder: list(contents)


def _parquet(folder: Path) -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    files = []
    for values in (["knee.png", "hand.png", None], [1, 2, 3]):
        for options in ({"compression": "none"}, {"compression": "zstd", "use_dictionary": False}):
            file = io.BytesIO()
            parquet.write_table(pa.table({"path": values}), file, **options)
            files.append(file.getvalue())
    return files


def _read_calibration(path: Path) -> None:
    film = path.parent / "knee.png"
    calibration_of(film)
    try:
        set_calibration(film, "knee.png", Calibration(0.15, "ruler"))
    except RadiographError:
        raise
    if calibration_of(film) != Calibration(0.15, "ruler"):
        raise AssertionError("a calibration that was set is not read")


def _read_tables(path: Path) -> None:
    films = [path.parent / "knee.png", path.parent / "hand.png"]
    read_tables(path.parent, films, [])


def _read_manifest(path: Path) -> None:
    from boneseg.cluster.manifest import list_films

    for _ in list_films([str(path)], str(path.parent / "out")):
        pass


def targets() -> dict[str, Target]:
    return {
        "recipe": Target("recipe.toml", lambda path: load_recipe(str(path)), _recipes),
        "search-space": Target("space.toml", read_space, these(SPACE)),
        "calibration": Target("calibration.csv", _read_calibration, these(CALIBRATION)),
        "groups": Target("groups.csv", _read_tables, these(TABLE, TABLE.replace(b",", b";"))),
        "parts": Target("parts.csv", _read_tables, these(TABLE)),
        "manifest-csv": Target("films.csv", _read_manifest, these(MANIFEST)),
        "manifest-parquet": Target("films.parquet", _read_manifest, _parquet),
    }
