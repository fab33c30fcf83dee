"""A PostgreSQL server of Debian on loopback, which can be stopped and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.orthanc import free_port
from tests.support.requirements import POSTGRES


class Postgres:
    """A server with an empty database."""

    password = "a-password-of-tests"

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"postgresql://boneseg:{self.password}@127.0.0.1:{self.port}/postgres"
        (folder / "password").write_text(self.password)
        if os.getuid() == 0:  # it refuses to run as root
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        words = ["--username=boneseg", "--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
        self._run("initdb", "--pgdata", folder / "data", *words, "--no-sync")

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -F"
        log = self.folder / "log"
        self._run("pg_ctl", "start", "-w", "-D", self.folder / "data", "-l", log, "-o", options)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", self.folder / "data")

    def _run(self, name: str, *words: object) -> None:
        assert POSTGRES is not None
        user = "postgres" if os.getuid() == 0 else None
        call = [str(POSTGRES / name), *map(str, words)]
        done = subprocess.run(
            call, user=user, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr


@contextmanager
def database() -> Iterator[Postgres]:
    """A server that runs, and ends with the block."""
    with tempfile.TemporaryDirectory(prefix="boneseg-postgres-") as folder:
        Path(folder).chmod(0o755)
        server = Postgres(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()
