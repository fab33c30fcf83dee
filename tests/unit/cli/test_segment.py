"""boneseg segment."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import load_bundle
from tests.support.command_line import boneseg, shown_at_a_terminal
from tests.support.films import marked


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
    last = f"segmented 2 of 2 films: 1 good, 1 unsuitable; see {tmp_path / 'out'}"
    assert done.stderr.splitlines()[-1] == last


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_verdict_on_a_single_film_stays_whole_on_a_terminal(tmp_path: Path) -> None:
    film = str(shutil.copy(sample_films() / "hand.png", tmp_path))
    lines = shown_at_a_terminal("segment", film, "--out", tmp_path / "out", columns=100)
    (line,) = [line for line in lines if line.startswith(f"{film}: ")]
    assert re.fullmatch(r"\d+ px of bone; hand, \w+; good, trust [01]\.\d\d", line[len(film) + 2 :])
    assert any("segmenting ━━━" in line and "100%" in line for line in lines)
    assert lines[-1] == f"segmented 1 of 1 film: 1 good; see {tmp_path / 'out'}"


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
    last = re.fullmatch(
        r"segmented 1 of 2 films: 1 (.*); 1 failed; see (.*)", done.stderr.splitlines()[-1]
    )
    assert last and last[1] in ("good", "review", "unsuitable") and last[2] == f"{tmp_path / 'out'}"
    alone = boneseg("segment", bad, "--out", tmp_path / "none", "--model", run)
    assert (
        alone.stderr.splitlines()[-1] == f"segmented 0 of 1 film; 1 failed; see {tmp_path / 'none'}"
    )
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["phantom_000003_mask.png", "phantom_000003_overlay.png", "segment.json"]


def test_a_flipped_byte_is_refused_by_name(run: Path, films: Path, tmp_path: Path) -> None:
    copy = tmp_path / "bundle"
    shutil.copytree(run / "bundle", copy)
    weights = bytearray((copy / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(weights)
    done = boneseg("segment", films / "images", "--out", tmp_path / "out", "--model", copy)
    assert done.returncode == 1
    assert "weights.safetensors" in done.stderr
    assert not (tmp_path / "out").exists()


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


def test_a_calibration_without_a_film_is_said(films: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(films / "images", tmp_path / "films")
    table = tmp_path / "films" / "calibration.csv"
    table.write_text("name,mm_per_pixel\nphantom_000003,0.2\nphantom_000004,0.2\nzzz,0.2\n")
    call = ("segment", tmp_path / "films" / "phantom_000003.png", "--model", run)
    done = boneseg(*call, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert f"warning: {table}: lists zzz, without a film of that name\n" in done.stderr
    assert "zzz" not in boneseg(*call, "--out", tmp_path / "other", "--spacing", "0.1").stderr


def test_a_calibration_is_not_quoted_where_names_identify_patients(
    run: Path, tmp_path: Path
) -> None:
    marked(tmp_path / "ZQ00X.dcm")
    (tmp_path / "calibration.csv").write_text("name,mm_per_pixel\nZQ00X-old,0.2\n")
    done = boneseg("segment", tmp_path / "ZQ00X.dcm", "--model", run, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "warning: calibration.csv: lists 1 name without a film\n" in done.stderr
    assert "zq00x" not in done.stderr.lower()
