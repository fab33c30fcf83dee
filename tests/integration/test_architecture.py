"""The package has a clear structure: few entries at the top, no circles of imports."""

from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import grimp

import boneseg

SOURCE = Path(boneseg.__file__).parent


def test_the_top_of_the_package_shows_at_most_21_entries() -> None:
    entries = {path.name for path in SOURCE.iterdir()} - {"__pycache__"}
    assert len(entries) <= 21, sorted(entries)


def test_no_module_imports_itself_through_others() -> None:
    """Imports inside functions and for type checkers count, and those of a package's `__init__`.

    The contract of import-linter leaves out circles between a package and its own modules.
    """
    graph = grimp.build_graph("boneseg", cache_dir=None)
    TopologicalSorter(
        {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    ).prepare()  # raises CycleError, which names the modules
