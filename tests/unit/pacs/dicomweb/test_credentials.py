"""Credentials come from private files."""

from __future__ import annotations

import pytest

from boneseg.errors import UsageError
from boneseg.pacs.dicomweb.client import DicomWeb
from tests.support.dicomweb import NOTHING

NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]


def test_a_user_without_a_home_has_no_credentials(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", nobody)
    DicomWeb("https://pacs.example")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
@pytest.mark.parametrize("kind", ["netrc", "token"])
def test_credentials_that_others_can_read_are_refused(tmp_path, mode, kind):
    path = tmp_path / "secret"
    path.write_text("machine pacs.example login u password p" if kind == "netrc" else "eyJh")
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"chmod 600 {path}"):
        DicomWeb("https://pacs.example", **{kind: path})
    path.chmod(0o600)
    DicomWeb("https://pacs.example", **{kind: path})
