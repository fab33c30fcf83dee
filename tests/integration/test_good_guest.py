"""Importing boneseg does not change the process."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import boneseg

SOURCE = Path(boneseg.__file__).parent
ROOT = Path(__file__).parents[2]


def changed_by(action: str, folder: Path) -> dict[str, list[str]]:
    """What importing or using boneseg changes, besides what the libraries it imports change."""
    call = [sys.executable, "-m", "tests.support.process_state", action]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE.parent), str(ROOT)])}
    for turn in ("list", "compare"):
        (folder / turn).mkdir()
        words = [str(folder / turn), str(folder / "modules.json")]
        done = subprocess.run(
            [*call, *words], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("action", ["import", "use"])
def test_nothing_in_the_process_is_changed(action: str, tmp_path: Path) -> None:
    assert changed_by(action, tmp_path) == {}


# Calls and assignments that change a process, by the end of their dotted name.
CALLS = frozenset(
    (
        *("warnings.filterwarnings", "warnings.simplefilter", "warnings.catch_warnings"),
        *(
            "warnings.resetwarnings",
            "logging.disable",
            "logging.basicConfig",
            "logging.captureWarnings",
        ),
        *("setLevel", "addHandler", "removeHandler", "addFilter", "set_verbosity", "set_log_level"),
        *("signal.signal", "signal.setitimer", "signal.alarm", "resource.setrlimit", "mallopt"),
        *("os.umask", "os.nice", "os.chdir", "os.putenv", "os.unsetenv", "os.sched_setaffinity"),
        *("os.dup2", "sys.setrecursionlimit", "locale.setlocale", "reconfigure", "seterr"),
        *("set_num_threads", "set_num_interop_threads", "set_default_dtype", "set_start_method"),
        *("use_deterministic_algorithms", "set_float32_matmul_precision", "random.seed"),
        *("random.set_state", "environ.update", "environ.setdefault", "environ.pop"),
        *("csv.field_size_limit", "set_event_loop_policy", "rcParams.update", "matplotlib.use"),
    )
)
TARGETS = ("os.environ", "sys.modules", "sys.path", "rcParams", "OPEN_INFO")  # of [..] = ..
OWNERS = ("sys.", "threading.", "config.", "_config.", "Image.MAX", "ImageFile.", "warnings.")
ALLOWED = {
    "_util/runtime.py",  # programs only
    "_util/quiet.py",  # restores what it changes
    "_util/logs.py",  # the handler of boneseg's own logger, once a service starts
    "training/device.py",  # PyTorch's number of threads, which it restores
    "_util/disposable.py",  # the standard streams of a child process
}


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def changes(tree: ast.AST) -> list[str]:
    """The places in a module that change the process."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if any(name == call or name.endswith(f".{call}") for call in CALLS):
                found.append(f"{node.lineno}: {name}")
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else []
        for target in targets:
            if isinstance(target, ast.Subscript) and dotted(target.value).endswith(TARGETS):
                found.append(f"{node.lineno}: {dotted(target.value)}[]")
            if isinstance(target, ast.Attribute) and dotted(target).startswith(OWNERS):
                found.append(f"{node.lineno}: {dotted(target)}")
    return found


def test_only_the_modules_for_it_change_the_process() -> None:
    found = {
        path.relative_to(SOURCE).as_posix(): changes(ast.parse(path.read_text(encoding="utf-8")))
        for path in SOURCE.rglob("*.py")
    }
    assert {name: lines for name, lines in found.items() if lines and name not in ALLOWED} == {}


@pytest.mark.parametrize(
    "line",
    [
        "warnings.filterwarnings('ignore')",
        "logging.getLogger('pydicom').setLevel(50)",
        "sys.modules['openvino'] = None",
        "Image.MAX_IMAGE_PIXELS = None",
        "os.environ['X'] = '1'",
        "torch.set_num_threads(1)",
    ],
)
def test_a_change_of_the_process_is_detected(line: str) -> None:
    assert changes(ast.parse(line))


def test_runtime_is_used_by_programs_only() -> None:
    """Library modules do not import it, except those that run as a process of their own."""
    programs = ("cli/", "server/", "pacs/node/", "_util/")
    children = (
        "radiograph/dicom/decoder.py", "experiments/fold.py", "experiments/tune.py",
        "cluster/worker.py", "cluster/tasks.py", "training/follower.py",
        "inference/backends/isolated.py",
    )  # fmt: skip
    users = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        if "_util import runtime" in path.read_text(encoding="utf-8")
        or "_util.runtime import" in path.read_text(encoding="utf-8")
    }
    assert {name for name in users if not name.startswith((*programs, *children))} == set()
