from __future__ import annotations

import socket

import pytest

pytest.importorskip("ray", reason="needs ray: pip install 'boneseg[cluster]'")

from boneseg.cluster.connection import _reason, connected
from boneseg.errors import ServiceError, UsageError


@pytest.mark.parametrize("address", ["", "here", "host:", "host:99999", "http://host:1"])
def test_an_address_that_is_none_is_a_wrong_call(address: str) -> None:
    with pytest.raises(UsageError, match="give local or HOST:PORT"), connected(address):
        pass


def test_where_no_cluster_answers_the_error_is_one_line_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceError, match="no cluster answers"), connected(address):
        pass


def test_another_version_and_a_wrong_token_have_words_of_their_own() -> None:
    assert "another version" in _reason(RuntimeError("Version mismatch: Ray 2.1"))
    assert "busy" in _reason(Exception("The current node timed out during startup."))
    assert "token" in _reason(RuntimeError("Authentication failed"))
    assert "secret" not in _reason(RuntimeError("secret"))
