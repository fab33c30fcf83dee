from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from boneseg.cluster.manifest import list_films
from boneseg.errors import DatasetError, UsageError
from tests.support.cluster import archive


def films(*inputs: object) -> list[str]:
    return [entry.error or entry.source for entry in list_films([*map(str, inputs)], "memory://o")]


def test_a_manifest_names_films_beside_it_elsewhere_and_by_url(tmp_path: Path) -> None:
    there = ["knee.png", "/films/hip.png", "s3://bucket/hand.dcm"]
    wanted = [f"{tmp_path}/knee.png", *there[1:]]
    (tmp_path / "a.csv").write_text("\n".join(["number,Film", *(f"1,{one}" for one in there)]))
    pq.write_table(pa.table({"url": there}), tmp_path / "a.parquet")
    assert films(tmp_path / "a.csv") == films(tmp_path / "a.parquet") == wanted


def test_a_row_that_names_no_film_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(
        b"film\nknee.png\n''\n\"\"\n" + b"x" * 200_000 + b"\nhip.png\n"
    )
    found = [entry.error for entry in list_films([str(tmp_path / "a.csv")], "memory://o")]
    assert found[0] is None and found[-1] is None
    assert sum(error is not None for error in found) == 2


@pytest.mark.parametrize(
    "text",
    [
        *("reference://a.png::https://host/a.json", "a.png::reference://b", "/a::github://b"),
        *("reference://a.png", "dask://a.png", "github://owner:films@main/a.png", "nothing://a"),
    ],
)
def test_a_row_opens_no_file_system_but_that_of_a_store(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"film\n{text}\nHTTPS://host/hip.png\n")
    pq.write_table(pa.table({"film": [text, "HTTPS://host/hip.png"]}), tmp_path / "a.parquet")
    for manifest in ("a.csv", "a.parquet"):
        row, film = list_films([str(tmp_path / manifest)], "memory://o")
        assert row.error and "no URL of a store" in row.error and text not in row.source
        assert (film.source, film.error) == ("https://host/hip.png", None)


def test_a_manifest_without_films_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,age\n")
    (tmp_path / "b.parquet").write_text("no Parquet")
    (tmp_path / "d.csv").write_bytes(b"path\rname\na\n")
    damaged = pa.table({"path": pa.array([b"knee\xff.png"]).view(pa.string())})
    pq.write_table(damaged, tmp_path / "e.parquet")
    with pytest.raises(UsageError, match="has no column of films"):
        films(tmp_path / "a.csv")
    with pytest.raises(DatasetError, match="cannot be read as Parquet"):
        films(tmp_path / "b.parquet")
    with pytest.raises(UsageError, match="has no column of films"):
        films(tmp_path / "d.csv")
    with pytest.raises(DatasetError, match="cannot be read as Parquet"):
        films(tmp_path / "e.parquet")
    with pytest.raises(UsageError, match="there is no such file"):
        films(tmp_path / "c.csv")


def test_folders_and_patterns_list_the_same_films_wherever_they_lie(tmp_path: Path) -> None:
    paths = archive(tmp_path / "films", 3)
    (tmp_path / "films" / "notes.txt").touch()
    memory = fsspec.filesystem("memory")
    for path in tmp_path.glob("films/*"):
        memory.pipe_file(f"/m/films/{path.name}", path.read_bytes())
    memory.pipe_file("/m/films/.hidden.png", b"")
    assert films(tmp_path / "films") == films(tmp_path / "films" / "*.png") == [*map(str, paths)]
    remote = [f"memory:///m/films/{path.name}" for path in paths]
    assert films("memory://m/films") == films("memory://m/films/*.png") == remote
    assert films(remote[0]) == [remote[0]]
