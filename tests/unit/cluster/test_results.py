from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.cluster import results as module
from boneseg.cluster.results import Results, Row
from boneseg.cluster.storage import Storage
from boneseg.errors import OutputError
from tests.support.cluster import rows


def results(out: Path) -> Results:
    return Results(Storage(str(out)), "results/model=m")


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
    assert len(list(second.resume())) == 9
    second.add(Row("1.png"))
    second.add(Row("10.png"))
    second.save()
    found = [str(row["source"]) for row in rows(tmp_path)]
    assert sorted(found) == sorted({f"{number}.png" for number in range(11)})
    shards = sorted(path.name for path in tmp_path.rglob("*.parquet"))
    assert shards == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]


def test_a_record_gives_its_row_to_a_copy_of_the_film() -> None:
    row = Row("a.png", "0f", 5, area_px=7, outputs={"mask": "m.png"})
    assert Row.of(row.to_json(), "b.png") == Row("b.png", "0f", 5, area_px=7, outputs=row.outputs)
    assert Row.of(b"", "b.png") is None and Row.of(b"[1]", "b.png") is None


def test_a_shard_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results" / "model=m").mkdir(parents=True)
    (tmp_path / "results" / "model=m" / "part-00000.parquet").write_text("other")
    with pytest.raises(OutputError, match="was not written by boneseg"):
        list(results(tmp_path).resume())
