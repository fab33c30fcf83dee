from __future__ import annotations

import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'boneseg[cluster]'")

from dataclasses import fields

from boneseg.cluster.results import SCHEMA
from boneseg.cluster.row import Row


def test_a_row_has_the_columns_of_the_table() -> None:
    assert [field.name for field in fields(Row)] == SCHEMA.names
