"""Networks that OpenVINO has compiled are kept for the next process, privately."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from boneseg.bundle.store import Bundle
from boneseg.inference.backends.compiled import KEPT, CompiledNetworks
from boneseg.inference.engine import Engine


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "boneseg"


def test_a_compiled_network_is_cached_for_the_next_process(bundle: Bundle, cache: Path) -> None:
    film = np.random.default_rng(0).random((90, 70), np.float32)
    first = Engine(bundle).find(film).probability
    assert len(list(cache.glob("*/*.blob"))) == 1
    assert next(cache.glob("*")).name.startswith(bundle.card.card_sha256[:16])
    assert np.array_equal(Engine(bundle).find(film).probability, first)
    assert len(list(cache.glob("*/*.blob"))) == 1


def test_the_oldest_compiled_networks_are_removed(bundle: Bundle, cache: Path) -> None:
    old = cache / "oldest" / "one.blob"
    for folder in ("oldest", "older"):
        (cache / folder).mkdir(parents=True, mode=0o700)
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    for number in range(KEPT):
        (cache / "older" / f"{number}.blob").write_bytes(b"")
    CompiledNetworks.of(bundle.card.card_sha256, "1.0")
    assert not old.parent.exists()
    assert len(list(cache.glob("*/*.blob"))) == KEPT


def test_without_a_cache_folder_the_network_is_compiled_each_time(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert CompiledNetworks.of(bundle.card.card_sha256, "1.0") is None


@pytest.mark.parametrize("harm", ["a bit", "cut short", "zeros", "empty", "another's", "gone"])
def test_a_damaged_compiled_network_is_compiled_again(
    harm: str, bundle: Bundle, cache: Path
) -> None:
    film = np.random.default_rng(0).random((90, 70), np.float32)
    first = Engine(bundle).find(film).probability
    blob = next(cache.glob("*/*.blob"))
    whole = blob.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    other = blob.with_name(f"{'0' * 16}.blob")
    other.write_bytes(whole)  # a whole one, but of other settings
    harmed = {"a bit": flipped, "cut short": whole[:1000], "zeros": bytes(len(whole)), "empty": b""}
    if harm == "another's":
        kept = CompiledNetworks(blob.parent, "another bundle")
        kept.write("settings", whole[32:])
        blob.write_bytes(kept._path("settings").read_bytes())
        kept._path("settings").unlink()
    elif harm == "gone":
        blob.unlink()
    else:
        blob.write_bytes(harmed[harm])
    assert np.array_equal(Engine(bundle).find(film).probability, first)
    assert blob.read_bytes()[:32] != harmed.get(harm, b"")[:32] or harm == "a bit"
    assert blob.stat().st_size > len(whole) / 2


def test_a_folder_of_compiled_networks_that_others_can_write_to_is_not_used(
    bundle: Bundle, cache: Path
) -> None:
    digest = bundle.card.card_sha256
    kept = CompiledNetworks.of(digest, "1.0")
    assert kept is not None
    assert [path.stat().st_mode & 0o777 for path in (cache, kept.folder)] == [0o700, 0o700]
    for path in (cache, kept.folder):
        path.chmod(0o755)  # as an older version made it: read by others, written by nobody
        assert CompiledNetworks.of(digest, "1.0") is not None
        assert path.stat().st_mode & 0o777 == 0o700
        path.chmod(0o770)
        assert CompiledNetworks.of(digest, "1.0") is None
        path.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(path, 12345, 12345)
            assert CompiledNetworks.of(digest, "1.0") is None
            os.chown(path, 0, 0)


def test_a_network_that_was_being_written_when_its_process_died_is_removed(
    bundle: Bundle, cache: Path
) -> None:
    kept = CompiledNetworks.of(bundle.card.card_sha256, "1.0")
    assert kept is not None
    for name, age in ((f".{'0' * 16}.new", 7200), (f".{'1' * 16}.new", 0)):
        (kept.folder / name).write_bytes(b"half")
        now = (kept.folder / name).stat().st_mtime
        os.utime(kept.folder / name, (now - age, now - age))
    CompiledNetworks.of(bundle.card.card_sha256, "1.0")
    assert [path.name for path in kept.folder.iterdir()] == [f".{'1' * 16}.new"]


@pytest.mark.parametrize("home", [None, "", "relative", "~nobody-of-this-name"])
def test_without_a_home_nothing_is_kept(
    home: str | None, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
    monkeypatch.delenv("HOME")
    if home is None:
        monkeypatch.setattr("os.path.expanduser", lambda path: path)  # nor a line in passwd
    else:
        monkeypatch.setenv("HOME", home)
    monkeypatch.chdir(tmp_path)
    assert CompiledNetworks.of(bundle.card.card_sha256, "1.0") is None
    assert list(tmp_path.iterdir()) == []
