from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="needs fsspec: pip install 'boneseg[cluster]'")

from boneseg.cluster.storage import Storage, public_url, read_film, reason
from boneseg.errors import OutputError, RadiographError, UsageError


def test_what_is_written_is_read_and_listed(tmp_path: Path) -> None:
    for url in (str(tmp_path / "out"), "memory://out"):
        out = Storage(url)
        assert out.read("a/b.txt") is None and out.names("a") == []
        out.write("a/b.txt", b"bone")
        (tmp_path / "file").write_bytes(b"more")
        out.put(tmp_path / "file", "a/c.txt")
        assert out.read("a/b.txt") == b"bone" and out.read("a/c.txt") == b"more"
        assert out.names("a") == ["b.txt", "c.txt"]


def test_a_printed_url_has_no_credentials() -> None:
    assert public_url("s3://key:word@bucket/knee.png") == "s3://bucket/knee.png"
    assert "secret" not in public_url("https://host/knee.png?signature=secret")
    assert public_url("https://host/f?id=1") != public_url("https://host/f?id=2")


def test_errors_are_in_words_of_ours_and_quote_no_library() -> None:
    assert "secret" not in reason(RuntimeError("secret"))
    assert "credentials" in reason(PermissionError("secret"))
    with pytest.raises(RadiographError, match="there is no such file"):
        read_film("memory://none.png")
    with pytest.raises(UsageError, match="no such file system"):
        Storage("nothing://bucket")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="out/a"):
        Storage(str(tmp_path / "out")).write("a/b", b"")
