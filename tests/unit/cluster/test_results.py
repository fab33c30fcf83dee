from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

import pyarrow as pa
import pyarrow.parquet as pq

from boneseg.cluster import results as module
from boneseg.cluster.journal import Journal
from boneseg.cluster.results import Results
from boneseg.cluster.row import Row
from boneseg.cluster.storage import Storage
from boneseg.errors import OutputError
from tests.support.cluster import rows


def results(out: Path) -> Results:
    storage = Storage(str(out))
    return Results(storage, "results/model=m", Journal(storage, "m"))


def test_rows_survive_a_restart_and_failed_ones_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARD", 4)
    first = results(tmp_path)
    for number in range(10):
        first.add(Row(f"{number}.png", error="bad" if number == 1 else None, outputs={"mask": "m"}))
    first.save()
    assert len(rows(tmp_path)) == 10
    second = results(tmp_path)
    assert len(list(second.resume(()))) == 9
    second.add(Row("1.png"))
    second.add(Row("10.png"))
    second.save()
    found = [str(row["source"]) for row in rows(tmp_path)]
    assert sorted(found) == sorted({f"{number}.png" for number in range(11)})
    shards = sorted(path.name for path in tmp_path.rglob("*.parquet"))
    assert shards == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]


def test_rows_that_lack_a_format_make_room_too(tmp_path: Path) -> None:
    first = results(tmp_path)
    first.add(Row("a.png", "0a", outputs={"mask": "m"}))
    first.add(Row("b.png", "0b", outputs={"mask": "m"}, skipped={"coco": "no bone"}))
    first.save()
    assert list(results(tmp_path).resume(("mask", "coco"))) == [("b.png", "0b")]
    assert len(list(results(tmp_path).resume(("mask",)))) == 2


def test_a_journal_is_removed_once_its_rows_are_in_a_shard(tmp_path: Path) -> None:
    journal, kept = Journal(Storage(str(tmp_path)), "m"), results(tmp_path)
    for name in ("a", "b"):
        journal.write([name], [Row(name)])
    kept.add(Row("a"))
    kept.added(["a"])
    kept.save()
    assert [rows for _, rows in journal.read()] == [[Row("b")]]


def test_a_shard_whose_text_is_damaged_is_refused(tmp_path: Path) -> None:
    first = results(tmp_path)
    first.add(Row("a.png", "0a"))
    first.save()
    (path,) = tmp_path.rglob("*.parquet")
    table = pq.read_table(path)
    column = table.schema.get_field_index("source")
    text = pa.array([b"\xff.png"], pa.binary()).view(pa.string())
    pq.write_table(table.set_column(column, table.schema.field(column), text), path)
    with pytest.raises(OutputError, match="damaged; move it away"):
        list(results(tmp_path).resume(()))


def test_a_shard_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results" / "model=m").mkdir(parents=True)
    (tmp_path / "results" / "model=m" / "part-00000.parquet").write_text("other")
    with pytest.raises(OutputError, match="was not written by boneseg"):
        list(results(tmp_path).resume(()))
