"""boneseg segment, evaluate, check and convert."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import load_bundle
from tests.support.command_line import boneseg


def test_segment_writes_masks_on_the_films_own_grid(films: Path, run: Path, tmp_path: Path) -> None:
    done = boneseg("segment", films / "images", "--out", tmp_path, "--model", run, "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert len(results) == 12
    for result in results:
        mask = np.array(Image.open(tmp_path / result["outputs"]["mask"]))
        assert mask.shape == (96, 80)
        assert set(np.unique(mask)) <= {0, 255}
        assert (mask > 0).sum() == result["area_px"]
        assert (tmp_path / result["outputs"]["overlay"]).is_file()


def test_segment_tells_what_a_film_shows_and_what_its_mask_is_worth(tmp_path: Path) -> None:
    Image.new("L", (300, 200), 90).save(tmp_path / "blank.png")
    done = boneseg("segment", sample_films() / "hand.png", tmp_path / "blank.png", "--out",
                   tmp_path / "out", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    hand, blank = json.loads(done.stdout)
    assert (hand["part"], hand["verdict"], hand["reason"]) == ("hand", "good", "")
    assert hand["trust"] > 0.9 and 0.5 < hand["part_confidence"] <= 1
    assert hand["projection"] in ("frontal", "oblique") and hand["projection_confidence"] > 1 / 3
    assert f"bone; hand, {hand['projection']}; good, trust {hand['trust']:.2f}" in done.stderr
    assert (blank["part"], blank["verdict"]) == ("not a radiograph", "unsuitable")
    assert blank["projection"] is None and blank["trust"] < 0.5
    assert blank["reason"] in blank["warning"] and "does not look like" in blank["reason"]
    assert "; not a radiograph; unsuitable, trust" in done.stderr


def test_segment_reports_films_in_the_output_folder(tmp_path: Path) -> None:
    out = tmp_path / "study" / "masks"
    for name, folder in (("one", out.parent), ("two", out)):
        folder.mkdir(exist_ok=True, parents=True)
        Image.fromarray(np.arange(96 * 80, dtype=np.uint16).reshape(96, 80)).save(
            folder / f"{name}.png"
        )
    told = f"1 film in {out} skipped: it is the output folder"
    assert told in boneseg("segment", out.parent, "--out", out).stderr
    assert "skipped" not in boneseg("segment", out.parent, "--out", out).stderr


def test_openvino_and_pytorch_give_the_same_masks(films: Path, run: Path) -> None:
    import torch

    from boneseg.bundle.store import load_network
    from boneseg.inference.engine import Engine
    from boneseg.radiograph.read import read_radiograph
    from boneseg.training.collapse_guard import predict

    bundle = load_bundle(run)
    engine, network = Engine(bundle), load_network(bundle)
    differing = []
    for path in sorted((films / "images").glob("*.png")):
        pixels = read_radiograph(path).pixels
        preparation = bundle.preparation(pixels.shape)
        grid, place = preparation.film(pixels)
        found = predict(network, torch.from_numpy(grid)[None, None])[0, 0].numpy()
        mask = preparation.restore(found, place) >= bundle.card.threshold
        differing.append((mask != engine.segment(pixels)).mean())
    assert (
        np.mean(differing) < 5e-3
    )  # bfloat16 and a network of ten epochs; sharper ones agree more


def test_one_bad_film_does_not_stop_the_rest(films: Path, run: Path, tmp_path: Path) -> None:
    bad = tmp_path / "notes.png"
    bad.write_text("not a picture")
    good = films / "images" / "phantom_000003.png"
    done = boneseg("segment", bad, good, "--out", tmp_path / "out", "--model", run)
    assert done.returncode == 1
    assert "notes.png" in done.stderr
    assert "Traceback" not in done.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["phantom_000003_mask.png", "phantom_000003_overlay.png", "segment.json"]


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


def test_a_flipped_byte_is_refused_by_name(run: Path, films: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(run / "bundle", copy)
    weights = bytearray((copy / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(weights)
    done = boneseg("segment", films / "images", "--out", tmp_path / "out", "--model", copy)
    assert done.returncode == 1
    assert "weights.safetensors" in done.stderr
    assert not (tmp_path / "out").exists()


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
    import shutil

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
    told = boneseg("check", spoiled).stdout
    assert f"warning: table: {spoiled / 'parts.csv'}: omits" in told


def test_findings_are_printed_even_if_their_file_cannot_be_written(
    films: Path, run: Path, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    for words, told in (
        (("check", films, "--sheet", nowhere / "sheet.png"), "12 pairs"),
        (("evaluate", films, "--model", run, "--out", nowhere / "cases.csv"), "dice"),
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


def test_the_size_of_overlays_is_full_or_a_number_of_pixels(
    films: Path, run: Path, tmp_path: Path
) -> None:
    film = next((films / "images").iterdir())
    call = ("segment", film, "--model", run, "--out", tmp_path, "--format", "overlay")
    for size, side in (("full", 96), ("48", 48)):
        assert boneseg(*call, "--overlay-size", size).returncode == 0
        assert max(Image.open(tmp_path / f"{film.stem}_overlay.png").size) == side
    done = boneseg(*call, "--overlay-size", "large")
    assert done.returncode == 2
    assert "--overlay-size large: give full, or a number of px from 16" in done.stderr
