"""A disk cache of compiled networks, so that the next process need not compile them.

    kept = CompiledNetworks.of(bundle.card.card_sha256, release="2026.4.1")
    data = kept.read(settings) if kept else None        # None: compile, and kept.write(settings, …)

The cache is in the system's cache folder, ~/.cache/boneseg on Linux. A compiled network is loaded
as executable code and determines every mask, so a file starts with the SHA-256 of its key (the
bundle's digest, the release, the settings) and its content; one that does not match is removed and
compiled again. Anyone who can write to the folder could also write a digest, so it is private to
the user (mode 0700); a folder that others can write to is not used.
"""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boneseg._util.files import STALE, open_regular, sweep, whole_file
from boneseg.errors import OutputError

KEPT = 32  # networks on disk, over all bundles: about 20 MB each
_DIGEST = 32  # bytes of SHA-256


@dataclass(frozen=True)
class CompiledNetworks:
    """The cached networks of one bundle and one OpenVINO release."""

    folder: Path
    origin: str  # part of the key: the bundle's digest and the release

    @classmethod
    def of(cls, card_sha256: str, release: str) -> CompiledNetworks | None:
        """Open the cache folder, created if missing; None if there is no safe place for it.

        Removes all but the KEPT most recently used networks of all bundles.
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
        except OSError:  # no home, disk full, or removed by another process meanwhile
            return None
        return cls(folder, f"{card_sha256} {release}")

    def read(self, settings: str) -> NDArray[np.uint8] | None:
        """The network compiled for these settings; None if missing or damaged."""
        path = self._path(settings)
        try:
            with open_regular(path) as file:
                data = np.fromfile(file, np.uint8)
        except OSError:
            return None
        network = data[_DIGEST:]
        if data[:_DIGEST].tobytes() != self._digest(settings, network.data):
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # the most recently used are kept longest
        return network

    def write(self, settings: str, network: bytes) -> None:
        """Store a network, unless it cannot be written."""
        with suppress(OutputError), whole_file(self._path(settings)) as temporary:
            temporary.write_bytes(self._digest(settings, network) + network)

    def _path(self, settings: str) -> Path:
        return self.folder / f"{hashlib.sha256(settings.encode()).hexdigest()[:16]}.blob"

    def _digest(self, settings: str, network: bytes | memoryview) -> bytes:
        digest = hashlib.sha256(f"{self.origin}\0{settings}\0".encode())
        digest.update(network)
        return digest.digest()


def _made_private(folder: Path) -> bool:
    """Whether a folder is writable by the user only; others lose read access."""
    if not hasattr(os, "geteuid"):  # Windows: the folder is within the user's profile
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
            old.parent.rmdir()  # if it was the last of a bundle
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
    """A path in the user's home; empty without a home, as in some containers."""
    home = os.environ.get("HOME", "~")
    home = os.path.expanduser(home) if home else ""  # noqa: PTH111 (Path's raises without a home)
    return os.path.join(home, path) if Path(home).is_absolute() else ""  # noqa: PTH118
