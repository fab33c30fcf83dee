"""Mutation testing: are faults planted in the code found by the unit tests of its package?

    python -m scripts.mutation                           # all four packages; see PACKAGES
    python -m scripts.mutation metrics --sample 150      # 150 of its mutants, drawn at random
    python -m scripts.mutation radiograph.film --again   # one module, whatever ran before
    mutmut show NAME                                     # what a mutant changes

A mutant that was found is not run again, one that survived is: its test may have been written
since. Everything is in mutants/, which may be deleted.

mutmut makes the mutants of the files that pyproject.toml names. It leaves out decorated functions,
since it copies a function with its decorators: every property and every metric would be left out.
Here the decorators stay with the function that chooses between the copies. What stands outside
functions (constants, tables, fields) is not mutated.

The mutants run here, as mutmut starts pytest anew for each: tests are collected once, and a fork of
this process runs, until one fails, those that call the mutated function: first the tests of its own
module, then others of its package from the quickest on, up to a limit. Slow tests are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import resource
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import chdir, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import FrameType

import libcst as cst
import pytest
from mutmut import __main__ as mutmut
from mutmut.mutation import file_mutation
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state
from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).resolve().parent.parent
MUTANTS = ROOT / "mutants"
PACKAGES = {  # the module, and its tests
    "metrics": ("boneseg.evaluation.metrics", "tests/unit/evaluation/test_metrics.py"),
    "preprocessing": ("boneseg.preprocessing", "tests/unit/test_preprocessing.py"),
    "radiograph": ("boneseg.radiograph", "tests/unit/radiograph"),
    "masks.formats": ("boneseg.masks.formats", "tests/unit/masks/formats"),
}
# Libraries that functions import when they are called, once for all mutants.
LIBRARIES = ("scipy.spatial", "scipy.ndimage", "imagecodecs", "highdicom", "nibabel", "nrrd")
COPIED = ("src", "tests", "pyproject.toml")  # by mutmut
QUICK = 0.3  # seconds of processor time of the longest test that runs
OTHERS = 1.0  # seconds of tests of other modules that run
MEMORY = 12 << 30  # bytes of addresses that a mutant may ask for
FOUND = {"killed", "timeout", "segfault", "suspicious"}  # the last: another signal
NO_TESTS = 33  # mutmut's exit code


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("module", nargs="*", default=list(PACKAGES), help=f"of {list(PACKAGES)}")
    parser.add_argument("--sample", type=int, metavar="N", help="N mutants of each module")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--again", action="store_true", help="run also those that were found")
    options = parser.parse_args(words)
    os.chdir(ROOT)
    generate()
    samples = {
        module: sample(module, options.sample, options.seed)
        for module in (one.replace("/", ".") for one in options.module)
    }
    known = results()
    waiting = [  # in the order drawn: what ran before an interruption is a sample too
        name
        for names in samples.values()
        for name in names
        if options.again or known.get(name) not in FOUND
    ]
    if waiting:
        run(waiting)
    report(samples)


def generate() -> None:
    """Write the mutants of every module, and what their tests need beside them, into mutants/."""
    skip = file_mutation.MutationVisitor._skip_node_and_children
    arrange = file_mutation.function_trampoline_arrangement

    def skip_fewer(self: file_mutation.MutationVisitor, node: cst.CSTNode) -> bool:
        return not decorators(node) and skip(self, node)

    def arrange_without_decorators(
        function: cst.FunctionDef, mutants: Iterable[object], class_name: str | None
    ) -> tuple[Sequence[cst.CSTNode], ...]:
        kept = decorators(function)
        bare = function.with_changes(decorators=[]) if kept else function
        first, (chooser, *copies), *rest = arrange(bare, mutants, class_name)
        chooser = chooser.with_changes(decorators=[*kept, *chooser.decorators])
        return (first, [chooser, *copies], *rest)

    file_mutation.MutationVisitor._skip_node_and_children = skip_fewer
    file_mutation.function_trampoline_arrangement = arrange_without_decorators
    mutmut.print_status = lambda *_, **__: None  # a spinner
    MUTANTS.mkdir(exist_ok=True)
    for path in ROOT.glob("[!.]*"):
        link = MUTANTS / path.name
        if path.name not in (*COPIED, MUTANTS.name) and not link.is_symlink():
            link.symlink_to(path)
    with mutmut.CatchOutput():
        mutmut.copy_src_dir()
        mutmut.copy_also_copy_files()
        mutmut.create_mutants(1)


def decorators(node: cst.CSTNode) -> Sequence[cst.Decorator]:
    """Those of a function, except the two that mutmut knows."""
    if not isinstance(node, cst.FunctionDef):
        return ()
    names = [cst.Module([]).code_for_node(one.decorator) for one in node.decorators]
    return () if names in (["staticmethod"], ["classmethod"]) else node.decorators


def run(names: Sequence[str]) -> None:
    """Run mutants, and store what became of each beside its file, where mutmut looks for it."""
    data = {}
    for path in mutmut.walk_mutatable_files():
        file = SourceFileMutationData(path=path)
        file.load()
        data |= dict.fromkeys(file.exit_code_by_key, file)

    def store(name: str, code: int) -> None:
        data[name].exit_code_by_key[name] = code
        with chdir(ROOT):
            data[name].save()

    tests = {path for prefix, path in PACKAGES.values() if any(n.startswith(prefix) for n in names)}
    mutmut.setup_source_paths()
    os.environ["PYTHONPATH"] = str(MUTANTS / "src")  # processes that a test starts use the mutants
    set_mutant_under_test("")
    before = cpu_seconds()
    words = ["--rootdir=.", "-qq", "-rN", "-p", "no:cacheprovider", "-m", "not slow"]
    words += ["--hypothesis-profile=mutation", "-k", "not monai", *sorted(tests)]
    with chdir(MUTANTS):
        failed = pytest.main(words, plugins=[Runner(names, store)])
    if failed:
        raise SystemExit(failed)
    print(f"{len(names)} mutants: {cpu_seconds() - before:.0f} s of processor time")


class Runner:
    """A plugin of pytest that runs, instead of all tests, some for each mutant in a fork."""

    def __init__(self, names: Sequence[str], store: Callable[[str, int], None]) -> None:
        self._names, self._store = names, store
        self._functions: dict[str, set[str]] = {}  # that a test calls
        self._seconds: dict[str, float] = {}  # of a test

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for library in LIBRARIES:
            import_module(library)
        self._measure(session)
        items = {item.nodeid: item for item in session.items}
        for name in self._names:
            tests = self._chosen(name)
            limit = math.ceil(2 * sum(self._seconds[test] for test in tests) + 2)
            code = forked(partial(self._run, name, [items[one] for one in tests], limit))
            self._store(name, code if tests else NO_TESTS)
        return True

    def _run(self, name: str, items: list[pytest.Item], limit: int) -> int:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        signal.signal(signal.SIGALRM, lambda *_: os._exit(-signal.SIGXCPU & 0xFF))
        signal.alarm(100 * limit)  # of one that waits; the processor may be shared
        set_mutant_under_test(name)
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if item.session.testsfailed:
                return 1
        return 0

    def _measure(self, session: pytest.Session) -> None:
        """Find which functions each test calls, and how long it takes; unchanged ones are known."""
        path = MUTANTS / "tests.jsonl"
        path.touch()
        hashes = {
            file: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in {item.path for item in session.items}
        }
        keys = {item.nodeid: (item.nodeid, hashes[item.path]) for item in session.items}

        def known() -> dict[tuple[str, ...], tuple[float, list[str]]]:
            with path.open(encoding="utf-8") as file:
                return {tuple(key): rest for key, *rest in map(json.loads, file)}

        done = known()
        while new := [item for item in session.items if keys[item.nodeid] not in done]:
            crashed = forked(partial(self._measure_new, new, keys, path)) != 0
            done = known()
            if crashed:
                first = next(key for item in new if (key := keys[item.nodeid]) not in done)
                print(f"\ncrashes without a mutant, left out: {first[0]}", file=sys.__stderr__)
                with path.open("a", encoding="utf-8") as file:
                    print(json.dumps([first, math.inf, []]), file=file)
                done = known()
        for test, key in keys.items():
            self._seconds[test], functions = done[key]
            self._functions[test] = set(functions)

    def _measure_new(
        self, items: list[pytest.Item], keys: dict[str, tuple[str, str]], path: Path
    ) -> int:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        class Slow(BaseException):
            """The test takes too long to be run for a mutant."""

        def stop(number: int, frame: FrameType | None) -> None:
            raise Slow

        set_mutant_under_test("stats")
        signal.signal(signal.SIGPROF, stop)
        with path.open("a", encoding="utf-8") as file:
            for item in items:
                state()._stats.clear()
                failed, before = item.session.testsfailed, cpu_seconds()
                signal.setitimer(signal.ITIMER_PROF, QUICK)
                try:
                    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                except Slow:
                    pass
                finally:
                    signal.setitimer(signal.ITIMER_PROF, 0)
                seconds = cpu_seconds() - before
                if item.session.testsfailed > failed and seconds < QUICK:
                    print(f"\nfails without a mutant, left out: {item.nodeid}", file=sys.__stderr__)
                    seconds = math.inf
                print(json.dumps([keys[item.nodeid], seconds, list(state()._stats)]), file=file)
                file.flush()
        return 0

    def _chosen(self, name: str) -> list[str]:
        """The tests that a mutant is run against, in their order; see the docstring above."""
        module, _, mutant = name.rpartition(".")
        function = f"{module}.{mutant.rpartition('__mutmut_')[0]}"
        folder = next(path for prefix, path in PACKAGES.values() if module.startswith(prefix))
        own = f"/test_{module.rpartition('.')[2]}.py"
        quick = [
            test
            for test, seconds in self._seconds.items()
            if test.startswith(folder) and seconds <= QUICK
        ]
        tests = [test for test in quick if function in self._functions[test]]
        if not tests:  # it may be called in a process that a test starts
            tests = [test for test in quick if own in test]
        tests.sort(key=lambda test: (own not in test, self._seconds[test]))
        others, chosen = 0.0, []
        for test in tests:
            others += 0 if own in test else self._seconds[test]
            if others <= OTHERS:
                chosen.append(test)
        return chosen


def forked(work: Callable[[], int]) -> int:
    """The exit code of a fork of this process that does some work; below 0: the signal."""
    process = os.fork()
    if not process:
        code = 3
        try:
            code = work()
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def results() -> dict[str, str]:
    """What became of each mutant: `killed`, `survived`, `timeout`, `no tests` or `not checked`."""
    found: dict[str, str] = {}
    for path in sorted(MUTANTS.rglob("*.py.meta")):
        codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        found |= {name: status_by_exit_code[code] for name, code in codes.items()}
    return found


def sample(module: str, count: int | None, seed: int) -> list[str]:
    """Mutants of a module or package, drawn at random; a larger sample holds the smaller one."""
    prefix, _ = PACKAGES.get(module, (f"boneseg.{module}", ""))
    names = sorted(name for name in results() if name.startswith(f"{prefix}."))
    if not names:
        raise SystemExit(f"{module} is none of {', '.join(PACKAGES)} nor a module of one")
    if count is not None:
        random.Random(seed).shuffle(names)
    return names[:count]


def report(samples: dict[str, list[str]]) -> None:
    """Print the counts of each module, and write what the survivors change."""
    known, total = results(), Counter(name.rpartition(".")[0] for name in results())
    print("\n| module | mutants | run | killed | timed out | survived | found, % (95 % interval) |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    survivors: list[str] = []
    for package, names in samples.items():
        modules: dict[str, list[str]] = {}
        for name in names:
            modules.setdefault(name.rpartition(".")[0], []).append(name)
        rows = sorted(modules.items())
        for label, group in [*rows, *([(f"**{package}**", names)] if len(rows) > 1 else [])]:
            counts = Counter(known[name] for name in group)
            found = sum(counts[status] for status in FOUND)
            whole = total[label] or len(sample(package, None, 0))
            low, high = interval(found, len(group))
            print(
                f"| {label.removeprefix('boneseg.')} | {whole} | {len(group)} "
                f"| {found - counts['timeout']} | {counts['timeout']} | {len(group) - found} "
                f"| {100 * found / len(group):.1f} ({100 * low:.1f} to {100 * high:.1f}) |"
            )
        survivors += [name for name in names if known[name] not in FOUND]
    path = MUTANTS / "survivors.diff"
    with path.open("w", encoding="utf-8") as file:
        for name in survivors:
            print(f"# {name}: {known[name]}", file=file)
            with suppress(FileNotFoundError):
                print(get_diff_for_mutant(name), file=file)
    print(f"\n{len(survivors)} survivors: {path.relative_to(ROOT)}")


def interval(found: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson, 1927)."""
    z, share = 1.96, found / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(share * (1 - share) / count + (z / count / 2) ** 2)
    return max(0.0, middle - half), min(1.0, middle + half)


def cpu_seconds() -> float:
    """Processor time of this process and of those it started that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
