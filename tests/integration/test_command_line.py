"""The command line, end to end: films are made, a model is trained, films become masks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boneseg import __version__, cli
from boneseg.bundle.store import load_bundle
from boneseg.cli import training
from boneseg.errors import TrainingError
from boneseg.simulate import simulate
from boneseg.training.history import Check


def boneseg(*words: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *map(str, words)]
    return subprocess.run(call, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "films"
    simulate(folder, 12, seed=3, size=(96, 80))
    return folder


@pytest.fixture(scope="module")
def run(films: Path) -> Path:
    out = films.parent / "run"
    done = boneseg("train", films, "--out", out, "--recipe", "fast", "--epochs", 10)
    assert done.returncode == 0, done.stderr
    return out


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


def test_the_version_is_told_and_the_package_is_the_command() -> None:
    call = [sys.executable, "-m", "boneseg", "--version"]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train"], "error: Missing option '--out'; see boneseg train --help"),
        (
            ["sgment"],
            "error: No such command 'sgment'. Did you mean 'segment'?; see boneseg --help",
        ),
    ],
)
def test_wrong_words_lead_to_the_help_of_their_verb(words: list[str], told: str) -> None:
    done = boneseg(*words)
    assert (done.returncode, done.stderr.strip()) == (2, told)


def test_too_little_memory_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gives_up(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(cli, "app", gives_up)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: there is not enough memory")


def test_segment_tells_of_films_that_lie_where_the_masks_go(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "nowhere", "--out", "x", "--set", "run.sed=1"], "run.seed"),
        (["recipes", "defualt"], "default"),
        (["segment"], "inputs"),
        (["segment", "film.png", "--out", "x"], "film.png"),
        (["train", "films", "--out", "x", "--minutes", "1", "--epochs", "1"], "either"),
        (["sgement"], "sgement"),
    ],
)
def test_wrong_words_end_in_2_and_one_line(words: list[str], hint: str) -> None:
    done = boneseg(*words)
    assert done.returncode == 2
    assert hint in done.stderr
    assert done.stderr.count("\n") == 1
    assert ".;" not in done.stderr


def test_a_call_without_words_shows_the_help_and_no_error() -> None:
    done = boneseg()
    assert done.returncode == 2
    assert "Commands" in done.stdout
    assert done.stderr == ""


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


def test_check_names_what_would_spoil_training(films: Path, tmp_path: Path) -> None:
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


def test_what_was_found_is_told_though_its_file_cannot_be_written(
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
def test_a_file_is_not_called_what_it_is_not(
    films: Path, tmp_path: Path, words: tuple[str, ...], ending: str
) -> None:
    done = boneseg(words[0], films, *words[1:], tmp_path / f"found.{ending}")
    assert done.returncode == 2
    assert "is written as" in done.stderr
    assert not any(tmp_path.iterdir())


def test_a_problem_of_no_one_film_has_no_name(films: Path, tmp_path: Path) -> None:
    for folder, name in (("images", "a.png"), ("masks", "b.png")):
        (tmp_path / folder).mkdir()
        film = films / folder / "phantom_000003.png"
        (tmp_path / folder / name).write_bytes(film.read_bytes())
    done = boneseg("check", tmp_path, "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 1
    assert f"error: no pairs: {tmp_path}: no mask matches a film by name" in done.stdout


def test_training_goes_on_from_a_bundle(films: Path, run: Path, tmp_path: Path) -> None:
    words = ("--epochs", 2, "--set", "optimiser.learning_rate=1e-6")  # too low to move it far
    done = boneseg("train", films, "--out", tmp_path / "on", "--init", run, *words)
    assert done.returncode == 0, done.stderr
    last = (run / "history.csv").read_text().splitlines()[-1].split(",")
    first = (tmp_path / "on" / "history.csv").read_text().splitlines()[1].split(",")
    assert float(first[7]) > float(last[7]) - 0.1  # begins where the other ended


@pytest.mark.parametrize("verb", ["train", "crossval"])
def test_a_network_that_is_not_the_one_to_start_from_is_told(
    films: Path, tmp_path: Path, verb: str
) -> None:
    words = (verb, films, "--out", tmp_path / "run", "--init", "bundled", "--set")
    done = boneseg(*words, "network.width=16")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--set network.width: the --init model has 24" in done.stderr
    assert not (tmp_path / "run").exists()


def test_films_and_masks_may_lie_in_folders_of_their_own(films: Path, run: Path) -> None:
    folders = ("--images", films / "images")
    checked = boneseg("check", *folders, "--masks", films / "masks", "--json")
    assert json.loads(checked.stdout)["cases"] == 12
    scored = boneseg("evaluate", *folders, "--truth", films / "masks", "--model", run, "--json")
    assert len(json.loads(scored.stdout)["cases"]) == 12
    lost = boneseg("evaluate", *folders, "--model", run)
    assert lost.returncode == 2
    assert lost.stderr.count("\n") == 1


def test_training_says_nothing_but_its_own(films: Path, tmp_path: Path) -> None:
    done = boneseg("train", films, "--out", tmp_path / "run", "--recipe", "fast", "--epochs", 1)
    assert done.returncode == 0
    assert done.stdout == ""
    assert all(word not in done.stderr for word in ("torchvision", "Warning", "W11"))
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


def test_a_run_for_8_bit_without_nncf_is_refused_before_it_trains(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None, raising=False)
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        training.train(tmp_path / "run", films, epochs=1, precision="int8")
    assert caught.value.name == "nncf"
    assert not (tmp_path / "run").exists()


def test_a_log_tells_of_a_collapse_and_of_what_comes_after(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def collapses(*_: object, report: Callable[[Check], None], **__: object) -> None:
        for done, note in ((0.5, ""), (0.5, "collapsed: all background"), (0.1, "")):
            report(Check(0, 80 * done, 9, 3.0, done, 0.01, 0.5, 0.0, note))
        raise TrainingError("enough")

    monkeypatch.setattr("boneseg.training.train.train", collapses)
    with pytest.raises(TrainingError):
        training.train(tmp_path / "run", films)
    first, collapse, after = capsys.readouterr().err.splitlines()
    assert first.startswith("training  50%") and after.startswith("training  10%")
    assert collapse == "epoch 40  collapsed: all background"


def test_crossval_prints_its_folds_and_leaves_an_ensemble(films: Path, tmp_path: Path) -> None:
    out = tmp_path / "cv"
    words = ("crossval", films, "--out", out, "--folds", 2, "--recipe", "fast", "--epochs", 4)
    done = boneseg(*words)
    assert done.returncode == 0, done.stderr
    assert "fold 2" in done.stdout
    assert (out / "report.html").is_file()
    again = boneseg(*words)
    assert again.returncode == 1
    assert again.stderr.splitlines()[-1].startswith(f"error: {out}: holds a run already")
    resumed = boneseg(*words, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert len(json.loads(resumed.stdout)["cases"]) == 12
    found = boneseg("segment", films / "images", "--out", tmp_path / "m", "--model", out, "--json")
    assert found.returncode == 0, found.stderr
    assert all(0 <= result["trust"] <= 1 for result in json.loads(found.stdout))
    assert boneseg("crossval", films, "--out", tmp_path / "x", "--folds", 13).returncode == 1


def test_tune_leaves_a_recipe_that_train_takes(films: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text("[network.width]\nchoices = [4, 6]\n")
    small = ("--set", "prepare.height=64", "--set", "prepare.width=64", "--set", "network.levels=3")
    words = ("tune", films, "--out", tmp_path / "run", "--space", space, "--trials", 2)
    done = boneseg(*words, "--epochs", 3, *small, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["trials"]) == 2
    best = tmp_path / "run" / "best.toml"
    done = boneseg("train", films, "--out", tmp_path / "again", "--recipe", best, "--epochs", 1)
    assert done.returncode == 0, done.stderr
    done = boneseg(*words, "--epochs", 3, *small)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "add --resume" in done.stderr


def test_compare_prints_its_rows_and_draws_them(films: Path, tmp_path: Path) -> None:
    small = ("--set", "prepare.height=64", "--set", "prepare.width=64", "--epochs", 2)
    own = tmp_path / "own.toml"
    own.write_text(boneseg("recipes", "fast").stdout)
    words = ("default", own, "--out", tmp_path / "run", "--folds", 2, *small)
    done = boneseg("compare", films, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nown ") == 2  # its row, and its row of body parts
    assert "comparing 100%  own fold 2 of 2" in done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    apart = ("--images", films / "images", "--masks", films / "masks")
    assert boneseg("compare", *apart, *words, "--resume").stdout == done.stdout


def test_ctrl_c_says_how_to_go_on(films: Path, tmp_path: Path) -> None:
    words = ["train", str(films), "--out", str(tmp_path / "run"), "--epochs", "100000"]
    call = [sys.executable, "-c", "from boneseg.cli import main; main()", *words]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        assert running.stderr.readline().startswith("training")
        running.send_signal(signal.SIGINT)
        said = running.stderr.read()
    assert running.returncode == 130
    assert said.endswith("stopped; continue with --resume\n")
    assert "Traceback" not in said


def test_body_parts_have_rows_of_their_own(films: Path, run: Path) -> None:
    done = boneseg("evaluate", films, "--model", run, "--json")
    parts = json.loads(done.stdout)["parts"]
    assert sum(part["films"] for part in parts.values()) == 12
    done = boneseg("evaluate", films, "--model", run)
    assert all(f"\n{part} " in done.stdout for part in parts)


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v is of Linux")
@pytest.mark.parametrize(
    ("verb", "kilobytes", "needed"), [("segment", 700_000, "1 GB"), ("train", 1_500_000, "3 GB")]
)
def test_too_little_address_space_is_one_line(
    verb: str, kilobytes: int, needed: str, tmp_path: Path
) -> None:
    call = f"ulimit -v {kilobytes}; exec {sys.executable} -m boneseg {verb} x --out {tmp_path}/out"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {verb}: virtual memory is limited to")
    assert f"{needed} are needed" in line
