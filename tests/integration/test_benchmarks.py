"""Benchmarks, run small; those that take hours are imported, so that what they call is there."""

from __future__ import annotations

import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.speed.real_films import SYNTAXES, TOP, grained
from boneseg.radiograph.read import read_radiograph
from tests.support import ROOT

PROGRAMS = sorted([*ROOT.glob("benchmarks/**/[!_]*.py"), *ROOT.glob("scripts/*.py")])


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The sections that a benchmark would write into the pages of its results, by title."""
    written: dict[str, list[str]] = {}

    def write_section(title: str, lines: list[str], *_: object) -> None:
        written[title] = lines

    for path in PROGRAMS:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if name.startswith("benchmarks.speed."):
            module = import_module(name)
            if hasattr(module, "write_section"):
                monkeypatch.setattr(module, "write_section", write_section)
    return written


def call(program: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    """Run a benchmark in this process, with these words."""
    module = import_module(program)
    monkeypatch.setattr(sys, "argv", [program, *words])
    return module.main()


def test_the_share_of_augmentation_is_a_share_of_the_step(
    sections: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("benchmarks.speed.augmentation")
    for name, value in (("WORK", ((64, 64, 4),)), ("STEPS", 8), ("FILMS", 8)):
        monkeypatch.setattr(module, name, value)
    call("benchmarks.speed.augmentation", monkeypatch)
    row = re.search(r"\| 64 x 64 \| 4 \| ([\d.]+)% \|", "\n".join(sections["Augmentation"]))
    assert row is not None and 0 < float(row[1]) < 100


def test_the_stages_of_a_cold_start_are_timed_one_by_one(
    sections: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("benchmarks.speed.cold_start")
    call("benchmarks.speed.cold_start", monkeypatch, "--rounds", "1")
    (lines,) = sections.values()
    for stage in module.STAGES:
        (row,) = (line for line in lines if line.startswith(f"| {stage} |"))
        assert float(re.findall(r"[\d.]+", row)[-1]) >= 0
    for line in lines[-2:]:  # by the clock, and by processor time
        whole = re.search(r"segment` (\d+) ms, `floor` (\d+) ms, .* ([\d.]+) times the floor", line)
        assert whole is not None
        assert float(whole[3]) == pytest.approx(int(whole[1]) / int(whole[2]), abs=0.1)


def test_films_of_real_size_are_compared_with_their_floor(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("--megapixels", "0.05", "--syntax", "RLE", "--rounds", "1", "--ours", "--films", "2")
    with pytest.MonkeyPatch.context() as patch:
        call("benchmarks.speed.real_size", patch, *words)
    row = re.search(
        r"\| 0.05 \| RLE \| (\d+) \| (\d+) \| (\d+) \| (\d+)%, (\d+)% .*\| (\d+) \| (\d+) "
        r"\|  \|  \|$",
        capsys.readouterr().out,
        re.MULTILINE,
    )
    assert row is not None and all(int(figure) > 0 for figure in row.groups())
    share = int(row[1]) / int(row[2])
    assert int(row[4]) == pytest.approx(100 * share, abs=100 * share)


def test_a_row_of_films_of_real_size_that_fails_costs_only_itself(
    sections: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, kept, pools = import_module("benchmarks.speed.real_size"), {}, []
    measured: list[tuple[float, str, bool]] = []

    def pool(*_: object) -> ThreadPoolExecutor:
        pools.append(ThreadPoolExecutor(1))
        return pools[-1]

    def measure(_: Path, name: str, size: float, ways: list[str], *__: int) -> dict[str, object]:
        measured.append((size, name, "mask" in ways))
        if measured[-1] == (24, "RLE", True):
            raise BrokenProcessPool("a process ended")
        costs = {way: [0.1, 0.2, 0.5, 0.25] for way in ways}
        peers = {"nnU-Net": "ImportError: no module | named nnunetv2"}
        return costs | ({"peaks": [200, 250]} if "mask" in ways else peers)

    monkeypatch.setattr(module, "ProcessPoolExecutor", pool)
    monkeypatch.setattr(module, "measured", measure)
    monkeypatch.setattr(module, "known", kept.get)
    monkeypatch.setattr(module, "keep", lambda name, figures: kept.update({name: dict(figures)}))
    words = ("--full", "--resume", "--syntax", "RLE", "--syntax", "JPEG-LS")
    call("benchmarks.speed.real_size", monkeypatch, *words)
    assert measured[:2] == [(12, "RLE", True), (12, "JPEG-LS", True)]
    ours = [row[2] for row in measured]
    assert ours == sorted(ours, reverse=True) and len(ours) == 2 * 2 * len(module.SIZES)
    assert len(pools) == 3  # a new one after the one that broke, and one for the other programs
    rows = sections["Films of real size"][-len(ours) // 2 :]
    failed = "fails: ImportError: no module / named nnunetv2 | 100, 50%, 25% |"
    assert rows[0] == f"| 12 | RLE | 100 | 100 | 100 | 50%, 25% | 50%, 25% | 200 | 250 | {failed}"
    broken = "fails: BrokenProcessPool: a process ended"
    assert rows[2].startswith(f"| 24 | RLE | 100 | {broken} | {broken} |")
    call("benchmarks.speed.real_size", monkeypatch, *words)
    assert len(measured) == len(ours), "rows that are stored are not measured again"


@pytest.mark.parametrize("name", SYNTAXES)
def test_every_syntax_of_the_films_of_real_size_is_read_back(name: str, tmp_path: Path) -> None:
    values, syntax = grained(0.02), SYNTAXES[name]
    path = tmp_path / f"film{syntax.suffix}"
    data = syntax.save(path, values)
    expected = values / TOP if "8" not in name else (values >> 4) / 255
    np.testing.assert_allclose(read_radiograph(path).pixels, expected, atol=1e-4)
    for decode in syntax.decoders.values():
        decoded = decode(data, (values.shape[0], values.shape[1])).astype(float)
        np.testing.assert_allclose(decoded / decoded.max(), expected / expected.max(), atol=1e-4)


def test_a_step_of_training_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("benchmarks.speed.training_step")
    monkeypatch.setattr(module, "STEPS", 2)
    found = module.timed_step((64, 64), module.UNDONE[0])
    assert found["seconds"] > 0 and found["films"] >= 1
    assert found["gflop"] > 0 and found["peak_tflops"] > 0


@pytest.mark.skipif(shutil.which("dcm2pnm") is None, reason="needs dcm2pnm, of Debian's dcmtk")
def test_films_are_compared_with_dcm2pnm(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("benchmarks.comparison.against_dcm2pnm", monkeypatch, "--count", "3") == 0
    assert "3 of 3 as dcm2pnm shows them" in capsys.readouterr().out


@pytest.mark.slow
def test_clients_are_answered_under_load(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call("benchmarks.serving.serve_load", monkeypatch, "--clients", "2", "--minutes", "0.05")
    said = capsys.readouterr().out
    found = re.search(r"(\d+) films, 0 errors", said)
    assert found is not None and int(found[1]) > 0
    share = re.search(r"the server's share: (\d+)%", said)
    assert share is not None and 0 < int(share[1]) < 1000


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_program_finds_what_it_imports(path: Path) -> None:
    if path.stem == "mutation":
        pytest.importorskip("mutmut", reason="needs the extra mutation")
    import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def test_a_share_of_the_weights_before_a_training_stays() -> None:
    between = import_module("scripts.train_bundled").between
    tuned, before = (torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3)) for _ in range(2))
    mixed = between(tuned, before, 0.25)
    expected = 0.75 * tuned[0].weight + 0.25 * before[0].weight
    torch.testing.assert_close(mixed[0].weight, expected)
    assert torch.equal(between(tuned, before, 0.0)[0].weight, tuned[0].weight)
