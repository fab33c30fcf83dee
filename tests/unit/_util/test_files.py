"""Files and folders are written whole or not at all."""

from __future__ import annotations

import csv
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boneseg._util.files import (
    csv_cell,
    folder_beside,
    own_folder,
    plain_cell,
    read_bytes,
    read_json,
    real_path,
    replace_folder,
    same_place,
    sweep,
    temporary_path,
    whole_file,
    write_json,
    write_table,
)
from boneseg.errors import OutputError, TrainingError


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_one_line_with_advice(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "mask.png"
    with (
        pytest.raises(OutputError, match=r"cannot be written \(No such file .*choose an existing"),
        whole_file(path) as temporary,
    ):
        temporary.write_text("x")


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    place.mkdir()
    (place / "old").touch()
    with folder_beside(place) as fresh:
        (fresh / "new").touch()
        replace_folder(place, fresh)
    assert [path.name for path in place.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_that_cannot_be_moved_leaves_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "bundle"
    place.mkdir()
    (place / "old").touch()
    with pytest.raises(OSError):
        replace_folder(place, tmp_path / "was never made")
    assert [path.name for path in place.iterdir()] == ["old"]


def test_only_temporary_files_that_are_old_enough_are_swept(tmp_path: Path) -> None:
    old, young, other = temporary_path(tmp_path), temporary_path(tmp_path), tmp_path / ".x.new"
    for path in (old, young, other):
        path.touch()
    long_ago = time.time() - 7200
    for path in (old, other):
        os.utime(path, (long_ago, long_ago))
    sweep(tmp_path, older_than=3600)
    assert set(tmp_path.iterdir()) == {young, other}
    sweep(tmp_path)
    assert set(tmp_path.iterdir()) == {other}


def test_a_run_is_resumed_only_by_the_verb_that_began_it(tmp_path: Path) -> None:
    own_folder(tmp_path, "plan.json", resume=False)
    (tmp_path / "plan.json").touch()
    own_folder(tmp_path, "plan.json", resume=True)
    with pytest.raises(TrainingError, match="add --resume"):
        own_folder(tmp_path, "plan.json", resume=False)
    for resume in (False, True):
        with pytest.raises(TrainingError, match="holds another run"):
            own_folder(tmp_path, "tune.db", resume=resume)


def test_links_lead_to_one_place_and_circles_end(tmp_path: Path) -> None:
    (tmp_path / "film").touch()
    (tmp_path / "link").symlink_to("film")
    (tmp_path / "circle").symlink_to("circle")
    assert same_place(tmp_path / "link", tmp_path / "film")
    assert not same_place(tmp_path / "circle", tmp_path / "film")
    assert real_path(tmp_path / "link") == real_path(tmp_path / "film")
    assert real_path(tmp_path / "circle").name == "circle"


def test_only_regular_files_up_to_a_size_are_read(tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(bytes(10))
    assert read_bytes(path, 10) == bytes(10)
    with pytest.raises(OSError, match="over the limit"):
        read_bytes(path, 9)
    os.mkfifo(tmp_path / "pipe")
    for wrong in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError):
            read_bytes(wrong)


def test_json_too_deep_to_parse_is_a_value_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json("[" * 100_000)
    write_json(tmp_path / "a.json", {"a": [1, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [1, None]}


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", " =1", "＝1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert csv_cell(text) == f"'{text}"
    assert plain_cell(f"'{text}") == text


@given(st.text())
def test_a_cell_is_read_as_it_was_written(text: str) -> None:
    assert plain_cell(str(csv_cell(text))) in (text, text.removeprefix("'"))


@pytest.mark.parametrize("value", ["knee", "-0.5", "+3", -0.5, None])
def test_numbers_and_names_stay_as_they_are(value: object) -> None:
    assert csv_cell(value) == value


def test_a_table_has_a_header_and_takes_any_file_name(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", ["name", "dice"], [["kn\udce4ee", 0.5], ["=x", 1]])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["name", "dice"], ["kn\\udce4ee", "0.5"], ["'=x", "1"]]
