from __future__ import annotations

import errno
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

pytest.importorskip("fsspec", reason="needs fsspec: pip install 'boneseg[cluster]'")

from boneseg.cluster import storage
from boneseg.cluster.storage import Storage, file_system, public_url, read_film, reason
from boneseg.errors import OutputError, RadiographError, UsageError
from boneseg.radiograph.film import check_bytes
from tests.support.s3 import s3_server


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
    with pytest.raises(UsageError, match="memory://: names no bucket"):
        Storage("memory://")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="out/a"):
        Storage(str(tmp_path / "out")).write("a/b", b"")


class RefusalError(Exception):
    """An error of a service, as botocore, gcsfs and aiohttp raise them."""

    def __init__(self, **facts: object) -> None:
        super().__init__("secret")
        vars(self).update(facts)


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (RefusalError(response={"Error": {"Code": "QuotaExceeded"}}), "the bucket is full"),
        (RefusalError(response={"ResponseMetadata": {"HTTPStatusCode": 507}}), "is full"),
        (RefusalError(code=507), "the bucket is full"),
        (RefusalError(response={"Error": {"Code": "XMinioAdminBucketQuotaExceeded"}}), "is full"),
        (RefusalError(status=403), "access is denied"),
        (RefusalError(code=401), "access is denied"),
        (OSError(errno.EIO, "secret of the library"), "Input/output error"),
        (OSError(errno.ENOSPC, "secret"), "No space left on device"),
    ],
)
def test_a_service_that_refuses_has_a_reason_of_its_own(error: Exception, answer: str) -> None:
    assert answer in reason(error) and "secret" not in reason(error)
    behind = OSError(errno.EIO, "secret")
    behind.__cause__ = error
    if isinstance(error, RefusalError):  # s3fs wraps them
        assert answer in reason(behind)


def test_a_protocol_whose_package_is_missing_names_it() -> None:
    if find_spec("gcsfs") is not None:
        pytest.skip("gcsfs is installed")
    with pytest.raises(UsageError, match=r"^gs://hospital/films: needs .*install gcsfs"):
        file_system("gs://hospital/films")


def test_films_are_read_from_a_web_server_and_its_refusals_have_words(tmp_path: Path) -> None:
    (tmp_path / "knee.png").write_bytes(b"film")
    (tmp_path / "empty.png").write_bytes(b"")

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if "private" in self.path:
                self.send_error(403)
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        assert read_film(f"{root}/knee.png") == b"film"
        for name, answer in [("none.png", "no such file"), ("private?key=secret", "is denied"),
                             ("empty.png", "is empty")]:  # fmt: skip
            with pytest.raises(RadiographError, match=answer) as caught:
                read_film(f"{root}/{name}")
            assert "secret" not in str(caught.value)
        server.shutdown()


def test_a_film_is_read_up_to_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(5000))
    read: list[int] = []
    monkeypatch.setattr(storage, "check_bytes", lambda name, size: read.append(size))
    for limit in (5000, 1000):
        monkeypatch.setattr(storage, "MAX_BYTES", limit)
        for source in (str(path), f"file://{path}"):
            read_film(source)
    assert read == [5000, 5000, 1001, 1001]


def test_a_film_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(2**20 + 1))
    monkeypatch.setattr(storage, "check_bytes", partial(check_bytes, most=2**20))
    with pytest.raises(RadiographError, match=r"a.png: is a file of 2 MiB, over the limit"):
        read_film(str(path))


def test_a_film_of_a_bucket_is_read_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("moto", "s3fs"):
        pytest.importorskip(module)
    with s3_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        bucket, path = file_system("s3://films")
        bucket.mkdir(path)
        bucket.pipe_file("films/empty.png", b"")
        bucket.pipe_file("films/a.png", bytes(5000))
        assert len(read_film("s3://films/a.png")) == 5000
        with pytest.raises(RadiographError, match=r"^s3://films/empty.png: is empty \(0 bytes\)"):
            read_film("s3://films/empty.png")
        monkeypatch.setattr(storage, "MAX_BYTES", 1000)
        assert len(read_film("s3://films/a.png")) == 1001
