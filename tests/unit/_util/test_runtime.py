"""Process-wide settings work on any system."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from boneseg._util import runtime


def test_memory_that_is_freed_can_be_kept_on_any_system() -> None:
    runtime.share_freed_memory()
    runtime.keep_freed_memory()
    assert float(np.ones((1000, 1000)).sum()) == 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_processes_talk_by_the_interface_that_leads_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    runtime.talk_to("127.0.0.1")
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eth7"  # the user's choice stays
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    runtime.talk_to("127.0.0.1")
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    runtime.talk_to("no.such.host.invalid")
