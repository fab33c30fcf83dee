"""Compiled networks on disk, so that the next process need not compile them again.

    kept = CompiledNetworks.of(bundle.card.card_sha256, release="2026.4.1")
    data = kept.read(settings) if kept else None        # None: compile, and kept.write(settings, …)

They lie where the system keeps what can be made again, ~/.cache/boneseg on Linux. A network on disk
is machine code to be, and is trusted with every mask: a file begins with the SHA-256 of what it is
for (the bundle's own digest, the release, the settings) and of what follows, and one that does not
fit is removed and made again. Whoever can write the folder can write a digest as well, so it is the
user's own (mode 0700); a folder that others can write to is not used.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from boneseg._util.files import STALE, sweep, whole_file
from boneseg.errors import OutputError

KEPT = 16  # networks on disk, of all bundles: some 20 MB each
_DIGEST = 32  # bytes of SHA-256


@dataclass(frozen=True)
class CompiledNetworks:
    """The networks compiled from one bundle by one release."""

    folder: Path
    origin: str  # of the networks: the bundle's digest and the release

    @classmethod
    def of(cls, card_sha256: str, release: str) -> CompiledNetworks | None:
        """Their folder, made where it is missing; None where there is no safe place for it.

        Of all bundles the last KEPT networks stay, and older ones are removed.
        """
        root = _cache_root()
        if root is None:
            return None
        folder = root / f"{card_sha256[:16]}-{release.partition('-')[0]}"
        try:
            root.parent.mkdir(parents=True, exist_ok=True)
            for place in (root, folder):
                place.mkdir(mode=0o700, exist_ok=True)
                if not _made_private(place):
                    return None
            _remove_old(root)
        except OSError:  # no home, no room, or another process that removes old ones as well
            return None
        return cls(folder, f"{card_sha256} {release}")

    def read(self, settings: str) -> bytes | None:
        """The network compiled for these settings; None where there is none, or a damaged one."""
        path = self._path(settings)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        network = data[_DIGEST:]
        if data[:_DIGEST] != self._digest(settings, network):
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # the last used are kept longest
        return network

    def write(self, settings: str, network: bytes) -> None:
        """Keep a network, where there is room for it."""
        with suppress(OutputError), whole_file(self._path(settings)) as temporary:
            temporary.write_bytes(self._digest(settings, network) + network)

    def _path(self, settings: str) -> Path:
        return self.folder / f"{hashlib.sha256(settings.encode()).hexdigest()[:16]}.blob"

    def _digest(self, settings: str, network: bytes) -> bytes:
        digest = hashlib.sha256(f"{self.origin}\0{settings}\0".encode())
        digest.update(network)
        return digest.digest()


def _made_private(folder: Path) -> bool:
    """Whether a folder is the user's own and was so all along; others may no longer read it."""
    if not hasattr(os, "geteuid"):  # Windows, where the folder is within the user's profile
        return os.access(folder, os.W_OK)
    facts = folder.stat()
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o022 or not os.access(folder, os.W_OK):
        return False
    if facts.st_mode & 0o077:
        folder.chmod(0o700)
    return True


def _remove_old(root: Path) -> None:
    networks = sorted(root.glob("*/*.blob"), key=lambda path: path.stat().st_mtime)
    for old in networks[: -KEPT or None]:
        with suppress(OSError):
            old.unlink()
            old.parent.rmdir()  # where it was the last of a bundle
    for folder in root.iterdir():
        sweep(folder, older_than=STALE)


def _cache_root() -> Path | None:
    if sys.platform == "win32":
        home = os.environ.get("LOCALAPPDATA", "")
    elif sys.platform == "darwin":
        home = _in_home("Library/Caches")
    else:
        home = os.environ.get("XDG_CACHE_HOME", "")
        home = home if Path(home).is_absolute() else _in_home(".cache")
    return Path(home) / "boneseg" if home else None


def _in_home(path: str) -> str:
    """A path in the user's home; empty where there is none, as in some containers."""
    home = os.environ.get("HOME", "~")
    home = os.path.expanduser(home) if home else ""  # noqa: PTH111 (Path's raises without a home)
    return os.path.join(home, path) if Path(home).is_absolute() else ""  # noqa: PTH118
