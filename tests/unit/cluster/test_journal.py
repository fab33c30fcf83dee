from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="needs fsspec: pip install 'boneseg[cluster]'")

from boneseg.cluster.journal import Journal
from boneseg.cluster.row import Row
from boneseg.cluster.storage import Storage


@pytest.mark.parametrize("where", ["folder", "memory://journal"])
def test_good_rows_are_kept_until_they_are_removed(where: str, tmp_path: Path) -> None:
    journal = Journal(Storage(str(tmp_path / where) if "://" not in where else where), "m")
    good = Row("a.png", "0f", 5, area_px=7, outputs={"mask": "m.png"})
    journal.write(["a.png", "b.png"], [good, Row("b.png", error="bad")])
    journal.write(["c.png"], [Row("c.png", error="bad")])
    assert list(journal.read()) == [(Journal.name(["a.png", "b.png"]), [good])]
    journal.remove([name for name, _ in journal.read()])
    assert list(journal.read()) == []


def test_a_damaged_file_has_no_rows(tmp_path: Path) -> None:
    for text in ("[1]", "{", "3", "[" * 100_000):
        Storage(str(tmp_path)).write(f"journal/m/{len(text)}{text[0]}.json", text.encode())
    assert [rows for _, rows in Journal(Storage(str(tmp_path)), "m").read()] == [[]] * 4
