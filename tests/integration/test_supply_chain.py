"""What boneseg runs and installs: no code from data, and permissive licences only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import boneseg
from scripts.lock import ENVIRONMENTS, LOCKS, OF_TORCH
from tests.support import ROOT

SOURCE = Path(boneseg.__file__).parent
# Modules and functions that run what they read. Light-box workers exchange pickles with their own
# server process, over a pipe that nothing else can write to.
RUNNING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml"}
RUNNING_CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
OWN_PIPES = {"server/workers/worker.py", "server/workers/process.py"}
COPYLEFT = re.compile(r"\b[AL]?GPL|GNU (Lesser |Affero )?General Public", re.IGNORECASE)


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_bytes())


def imported(tree: ast.AST) -> set[str]:
    """The top-level packages that a module imports."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_no_module_runs_what_it_reads() -> None:
    found = {
        name: sorted(
            imported(tree) & RUNNING
            | {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in RUNNING_CALLS
            }
        )
        for name, tree in trees()
    }
    assert {name: words for name, words in found.items() if words} == {
        name: ["pickle"] for name in OWN_PIPES
    }


def test_numpy_and_torch_load_no_pickles() -> None:
    """`np.load` refuses them unless asked; `torch.load` has to be told."""
    for name, tree in trees():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            words = {word.arg: ast.unparse(word.value) for word in call.keywords}
            assert words.get("allow_pickle", "False") == "False", name
            if ast.unparse(call.func) in ("torch.load", "load_state_dict_from_url"):
                assert words.get("weights_only") == "True", name


def test_readers_of_many_formats_are_told_which() -> None:
    """Pillow would have Ghostscript draw an EPS, OpenVINO would run a network of TensorFlow."""
    for name, tree in trees():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            function = ast.unparse(call.func)
            assert not function.endswith(".read_model"), name
            if function == "Image.open":
                assert "formats" in {word.arg for word in call.keywords}, name


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(extras: tuple[str, ...]) -> dict[str, Distribution]:
    """boneseg and everything that it and these extras require, as far as installed."""
    found: dict[str, Distribution] = {}
    seen = set()
    todo = [("boneseg", extras)]
    while todo:
        name, extras = todo.pop()
        key = normal(name)
        if (key, extras) in seen:
            continue
        seen.add((key, extras))
        try:
            found[key] = distribution(name)
        except PackageNotFoundError:  # of another platform
            continue
        for words in found[key].requires or []:
            one = Requirement(words)
            if one.marker is None or any(
                one.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                todo.append((one.name, tuple(sorted(one.extras))))
    return found


def licence(one: Distribution) -> str:
    """The licence that a distribution declares, in whichever field it does."""
    words = [one.metadata.get("License-Expression"), (one.metadata.get("License") or "")[:200]]
    kinds = one.metadata.get_all("Classifier") or []
    return "; ".join(filter(None, [*words, *(one for one in kinds if one.startswith("License"))]))


def test_every_installed_distribution_declares_a_permissive_licence() -> None:
    declared = {
        name: licence(one) for name, one in installed(("all", "dev", "docs", "gdcm")).items()
    }
    assert len(declared) > 20
    assert [name for name, words in declared.items() if not words] == []
    assert {name: words for name, words in declared.items() if COPYLEFT.search(words)} == {}


@pytest.mark.parametrize("words", ["GPL-3.0-or-later", "LGPLv3", "GNU Affero General Public"])
def test_copyleft_is_recognised(words: str) -> None:
    assert COPYLEFT.search(words)


def locked(name: str) -> dict[str, str]:
    """The version of each distribution of a lock, whose lines are all pins or hashes."""
    found = {}
    for line in (LOCKS / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        pin = re.fullmatch(r"([a-z0-9.-]+)==(\S+)(?: ; .*)? \\", line)
        assert pin or re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}(?: \\)?|#.*", line), line
        if pin:
            found[normal(pin[1])] = pin[2]
    return found


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_lock_has_the_versions_of_the_constraints(name: str) -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {normal(one): version for one, version in re.findall(r"^(\S+?)==(\S+)$", text, re.M)}
    found = locked(name)
    assert len(found) > 20
    assert {one: found[one] for one in found.keys() & pinned} == {
        one: pinned[one] for one in found.keys() & pinned
    }


def test_every_distribution_that_is_installed_for_the_tests_is_locked() -> None:
    """Those that depend on the build of PyTorch are not, as the lock says."""
    found = locked("development")
    there = {name: one.version for name, one in installed(("all", "dev", "docs")).items()}
    unlocked = {name for name in there if OF_TORCH.match(f"{name}==")}
    assert "torch" in unlocked and not unlocked & found.keys()
    expected = {name: there[name] for name in there.keys() - unlocked - {"boneseg"}}
    assert {name: found.get(name) for name in expected} == expected


def test_the_locks_of_the_basic_installation_and_the_container_are_parts_of_it() -> None:
    whole = locked("development")
    assert locked("base").items() <= whole.items()
    assert {name: whole.get(name) for name in ("fastapi", "ray", "pynetdicom")} == {
        name: locked("container").get(name) for name in ("fastapi", "ray", "pynetdicom")
    }
