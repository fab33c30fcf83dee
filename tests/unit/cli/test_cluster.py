from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from boneseg.cli.cluster import _words
from tests.support.command_line import boneseg
from tests.support.datasets import limb


def test_progress_tells_rate_failures_and_time_left() -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")
    from boneseg.cluster.archive import Progress

    progress = Progress(total=100, done=50, failed=2, workers=1)
    progress.began -= 25
    assert _words(progress) == "50 of 100, 2 failed; 1 worker, 2.00 films/s, 25 s left"
    assert "starting workers" in _words(Progress(total=1))


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--cluster", "nowhere"], 2, "--cluster nowhere: is no address; give local or HOST:PORT"),
        (["--cluster", "127.0.0.1:9"], 1, "--cluster 127.0.0.1:9: no cluster answers"),
        (["--max-failures", "3"], 2, "--max-failures: needs --cluster"),
    ],
)
def test_a_wrong_call_is_one_line(words: list[str], status: int, told: str, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")
    (tmp_path / "a.png").write_text("film")
    done = boneseg("segment", tmp_path / "a.png", "--out", tmp_path / "out", *words)
    assert done.returncode == status
    assert told in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["crossval", "--worker-cores", "3"], 2, "--worker-cores: needs --cluster"),
        (["crossval", "--cluster", "local", "--parallel", "2"], 2, "--parallel: is for one"),
        (["crossval", "--cluster", "nowhere"], 2, "--cluster nowhere: is no address"),
        (["tune", "--cluster", "127.0.0.1:9"], 2, "needs --storage, which the machines share"),
        (["tune", "--storage", "mysql://me:word@host/x"], 2, "--storage: give a URL as postgresql"),
    ],
)  # fmt: skip
def test_a_wrong_call_for_folds_or_trials_is_one_line(
    words: list[str], status: int, told: str, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "masks").mkdir()
    for folder in ("images", "masks"):
        Image.fromarray(limb(1)[folder == "masks"]).save(tmp_path / "data" / folder / "limb.png")
    verb, *rest = words
    done = boneseg(verb, tmp_path / "data", "--out", tmp_path / "out", *rest)
    assert done.returncode == status
    assert told in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
