"""boneseg train, crossval, compare and tune."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from boneseg.cli import call, training
from boneseg.cli.progress import _bar
from boneseg.errors import TrainingError
from boneseg.training.history import Check
from tests.support.command_line import boneseg, boneseg_process


def test_training_starts_from_a_bundle(films: Path, run: Path, tmp_path: Path) -> None:
    words = ("--epochs", 2, "--set", "optimiser.learning_rate=1e-6")  # too low to move it far
    done = boneseg("train", films, "--out", tmp_path / "on", "--init", run, *words)
    assert done.returncode == 0, done.stderr
    last = (run / "history.csv").read_text().splitlines()[-1].split(",")
    first = (tmp_path / "on" / "history.csv").read_text().splitlines()[1].split(",")
    assert float(first[7]) > float(last[7]) - 0.1  # begins where the other ended


@pytest.mark.parametrize("verb", ["train", "crossval"])
def test_settings_of_another_network_than_the_initial_one_are_reported(
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


def test_more_devices_than_there_are_is_one_line(films: Path, tmp_path: Path) -> None:
    done = boneseg("train", films, "--out", tmp_path / "run", "--devices", 99_999)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--devices 99999: this machine has " in done.stderr
    assert not (tmp_path / "run").exists()


def test_training_says_nothing_but_its_own(films: Path, tmp_path: Path) -> None:
    words = ("train", films, "--out", tmp_path / "run", "--recipe", "fast", "--epochs", 1)
    done = boneseg_process(*words)
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


@pytest.mark.parametrize(
    ("verb", "runs", "record"),
    [
        ("train", "training.train.train", "checkpoint.safetensors"),
        ("crossval", "experiments.crossval.cross_validate", "plan.json"),
        ("compare", "experiments.compare.compare_recipes", "fast/plan.json"),
        ("tune", "experiments.tune.tune_recipe", "tune.db"),
        ("tune", "experiments.tune.tune_recipe", "study.json"),
    ],
)
def test_resume_says_where_there_is_nothing_to_resume(
    verb: str,
    runs: str,
    record: str,
    films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def begins(*_: object, **__: object) -> None:
        raise TrainingError("it has begun")

    monkeypatch.setattr(f"boneseg.{runs}", begins)
    recipes = ["fast", "default"] if verb == "compare" else []
    words = [verb, str(films), *recipes, "--out", str(tmp_path / "run"), "--resume"]
    with pytest.raises(TrainingError, match="it has begun"):
        call(words)
    assert capsys.readouterr().err == f"nothing to resume in {tmp_path / 'run'}; starting\n"
    (tmp_path / "run" / record).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "run" / record).touch()
    with pytest.raises(TrainingError, match="it has begun"):
        call(words)
    assert capsys.readouterr().err == ""


def test_a_log_reports_a_collapse_and_the_restart(
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_tune_writes_a_recipe_that_train_accepts(films: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_compare_prints_its_rows_and_draws_them(films: Path, tmp_path: Path) -> None:
    size = ("prepare.height=64", "prepare.width=64", "network.width=4", "network.levels=3")
    small = (*(word for setting in size for word in ("--set", setting)), "--epochs", 2)
    own = tmp_path / "own.toml"
    own.write_text(boneseg("recipes", "fast").stdout)
    words = ("default", own, "--out", tmp_path / "run", "--folds", 2, *small)
    done = boneseg("compare", films, *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nown ") == 2  # its row, and its row of body parts
    assert "comparing 100%  own fold 2/2  validation Dice " in done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
    apart = ("--images", films / "images", "--masks", films / "masks")
    assert boneseg("compare", *apart, *words, "--resume").stdout == done.stdout


def test_ctrl_c_says_how_to_resume(films: Path, tmp_path: Path) -> None:
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


def test_progress_says_of_which_films_its_dice_is_and_a_narrow_terminal_shows_it(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check(0, 12, 9, 3.0, 0.5, 0.01, 0.4321, 0.9123)

    def trains(*_: object, report: Callable[[Check], None], **__: object) -> None:
        report(check)
        raise TrainingError("enough")

    def folds(*_: object, report: Callable[[int, Check], None], **__: object) -> None:
        report(3, check)
        raise TrainingError("enough")

    monkeypatch.setattr("boneseg.training.train.train", trains)
    monkeypatch.setattr("boneseg.experiments.crossval.cross_validate", folds)
    for verb, title, note in (
        (training.train, "training", "epoch 12  validation Dice 0.9123  loss 0.4321  3 s"),
        (training.crossval, "cross-validating", "fold 3/5  validation Dice 0.9123"),
    ):
        with pytest.raises(TrainingError):
            verb(tmp_path / "run", films)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(f"%  {note}")
        shown = io.StringIO()
        with _bar(Console(width=80, file=shown, force_terminal=True, color_system=None)) as bar:
            bar.add_task(title, total=1, completed=0.5, note=note)
        assert "validation Dice 0.9123" in shown.getvalue()
