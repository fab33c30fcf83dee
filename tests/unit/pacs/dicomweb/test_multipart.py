"""The object in a multipart response."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from boneseg.pacs.dicomweb.multipart import IncompleteError, extract
from tests.support.dicomweb import NOTHING


def extracted(tmp_path, body, kind='multipart/related; type="application/dicom"; boundary=B'):
    (tmp_path / "answer").write_bytes(body)
    extract(tmp_path / "answer", kind, tmp_path / "object")
    return (tmp_path / "object").read_bytes()


@given(st.binary(min_size=1, max_size=300), st.sampled_from(["abc", "--", "=_x", "a;b"]))
def test_the_first_part_of_a_response_is_the_object(tmp_path_factory, content, boundary):
    mark = f"\r\n--{boundary}".encode()
    assume(mark not in content)
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    folder = tmp_path_factory.mktemp("answer")
    for headers in (b"Content-Type: application/dicom", b"content-length: %d" % len(content)):
        body = mark[2:] + b"\r\n" + headers + b"\r\n\r\n" + content + mark
        assert extracted(folder, body + b"--", kind) == content
        assert extracted(folder, b"preamble\r\n" + body + b"\r\n\r\nsecond", kind) == content
    assert extracted(folder, content, "application/dicom") == content
    assert extracted(folder, content, "") == content


def test_a_part_with_a_content_length_may_contain_the_boundary(tmp_path):
    content = b"a\r\n--B\r\nb"
    body = b"--B\r\nContent-Length: 9\r\n\r\n" + content + b"\r\n--B--"
    assert extracted(tmp_path, body) == content


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b"--B\r\n\r\n\r\n--B--", "is empty"),
        (b"--B--", "has no part"),
        (b"--C\r\n\r\nabc\r\n--C--", "has no part"),
        (b"--B\r\n\r\nabc", "is truncated"),
        (b"--B\r\nContent-Length: 9\r\n\r\nabc", "is truncated"),
        (b"--B\r\nContent-Length: 9\r\n\r\nabc\r\n--B--", "is shorter than"),
    ],
)
def test_an_incomplete_response_is_reported(tmp_path, body, words):
    with pytest.raises(IncompleteError, match=words):
        extracted(tmp_path, body)


NOTHING += [{"Value": [None]}, {"Value": [{}]}, {"Value": [[]]}, {"Value": {"Value": ["1.2"]}}]
