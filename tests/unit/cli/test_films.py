"""boneseg check, evaluate and convert."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.command_line import boneseg


def test_evaluate_prints_the_contract(films: Path, run: Path) -> None:
    done = boneseg("evaluate", films, "--model", run, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"cases", "mean", "ci95", "empty_predictions", "parts"} == set(found)
    assert 0.3 < found["mean"]["dice"] <= 1


def test_evaluate_warns_of_films_that_the_model_has_seen(
    films: Path, run: Path, tmp_path: Path
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name, other in ((3, "renamed"), (5, "other")):
            film = np.array(Image.open(films / folder / f"phantom_{name:06d}.png"))
            film = film[::-1] if other == "other" else film
            Image.fromarray(film).save(tmp_path / folder / f"{other}.png")
    told = "warning: the model was trained or selected on {}, so the scores are optimistic"
    assert told.format("1 of 2 films") in boneseg("evaluate", tmp_path, "--model", run).stderr
    (tmp_path / "images" / "renamed.png").unlink()
    assert "warning" not in boneseg("evaluate", tmp_path, "--model", run).stderr
    assert told.format("12 of 12 films") in boneseg("evaluate", films, "--model", run).stderr


def test_no_name_reorders_the_lines_of_a_terminal(tmp_path: Path) -> None:
    name = "knee\u202egnp.png"  # shown reversed from the mark on
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / folder / name)
    calls = [
        ("check", tmp_path),
        ("segment", tmp_path / "images" / name, "--out", tmp_path / "out"),
    ]
    for call in (*calls, ("segment", tmp_path / f"no {name}", "--out", tmp_path / "out")):
        done = boneseg(*call)
        assert done.returncode == (2 if "no " in str(call[1]) else 1)
        assert r"knee\u202egnp" in done.stdout + done.stderr
        assert "\u202e" not in done.stdout + done.stderr


def test_check_names_what_would_impair_training(films: Path, tmp_path: Path) -> None:
    good = boneseg("check", films, "--sheet", tmp_path / "sheet.png")
    assert good.returncode == 0, good.stderr
    assert "12 films, 12 masks, 12 pairs" in good.stdout
    assert Image.open(tmp_path / "sheet.png").size[0] > 300
    spoiled = tmp_path / "spoiled"
    shutil.copytree(films, spoiled)
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(spoiled / "masks" / "phantom_000003.png")
    bad = boneseg("check", spoiled, "--json")
    assert bad.returncode == 1
    found = json.loads(bad.stdout)
    assert ["phantom_000003"] in [p["names"] for p in found["problems"] if p["serious"]]
    (spoiled / "parts.csv").write_text("name,part\nphantom_000003,hand\n")
    (spoiled / "groups.csv").write_text("name,patient\nphantom_000004,A\n")
    masks = spoiled / "masks"
    (masks / "phantom_000005_mask.png").write_bytes((masks / "phantom_000005.png").read_bytes())
    told = boneseg("check", spoiled).stdout
    assert f"warning: table: {spoiled / 'parts.csv'}: omits" in told
    assert f"error: table: {spoiled / 'groups.csv'}: omits" in told
    assert "both match it; keep one mask" in told
    assert "error: size mismatch: phantom_000003" in told


def test_findings_are_printed_even_if_their_file_cannot_be_written(
    films: Path, run: Path, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    for words, told in (
        (("check", films, "--sheet", nowhere / "sheet.png"), "12 pairs"),
        (("evaluate", films, "--model", run, "--out", nowhere / "cases.csv"), "Dice"),
    ):
        done = boneseg(*words)
        assert done.returncode == 1
        assert told in done.stdout
        assert done.stderr.count("error: ") == 1


@pytest.mark.parametrize(
    ("words", "ending"),
    [(("check", "--sheet"), "jpg"), (("evaluate", "--model", "m", "--out"), "json")],
)
def test_a_file_is_not_described_as_the_wrong_kind(
    films: Path, tmp_path: Path, words: tuple[str, ...], ending: str
) -> None:
    done = boneseg(words[0], films, *words[1:], tmp_path / f"found.{ending}")
    assert done.returncode == 2
    assert "is written as" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_problem_of_the_whole_dataset_has_no_film_name(films: Path, tmp_path: Path) -> None:
    for folder, name in (("images", "a.png"), ("masks", "b.png")):
        (tmp_path / folder).mkdir()
        film = films / folder / "phantom_000003.png"
        (tmp_path / folder / name).write_bytes(film.read_bytes())
    done = boneseg("check", tmp_path, "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 1
    assert f"error: no pairs: {tmp_path}: no mask matches a film by name" in done.stdout


def test_rows_of_tables_without_a_film_are_said(films: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(films, data)
    (data / "calibration.csv").write_text("name,mm_per_pixel\nphantom_000003,0.2\nzzz,0.2\n")
    told = f"{data / 'calibration.csv'}: lists zzz, without a film of that name"
    assert f"warning: table: {told}\n" in boneseg("check", data).stdout
    for words in (
        ("evaluate", data, "--masks", data / "masks"),
        ("convert", data, "--to", "png", "--out", tmp_path / "out"),
    ):
        done = boneseg(*words)
        assert done.returncode == 0, done.stderr
        assert f"warning: {told}\n" in done.stderr


def test_evaluating_names_says_what_is_missing_the_model_first(films: Path, run: Path) -> None:
    """The masks of the films are of all bone, and the model of the run has no names."""
    done = boneseg("evaluate", films, "--model", run, "--bones")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == f"error: {run / 'bundle'}: does not name bones; choose a model that does"
    done = boneseg("evaluate", films, "--model", "bundled", "--bones")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {films / 'masks'}: holds no masks of named bones; ")
    assert "for a film phantom_000003.png put them into phantom_000003_bones there" in line


def test_convert_ends_with_what_was_converted(films: Path, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(films, data)
    words = ("convert", data, "--to", "png", "--out", out)
    assert boneseg(*words).stderr.splitlines()[-1] == f"converted 12 of 12 films; see {out}"
    (data / "masks" / "phantom_000003.png").write_bytes(b"no picture")
    twice = data / "masks" / "phantom_000004_mask.png"
    twice.write_bytes((data / "masks" / "phantom_000004.png").read_bytes())
    done = boneseg(*words)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"converted 10 of 12 films; 2 failed; see {out}"
