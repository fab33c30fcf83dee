"""The size of a simulated film."""

from __future__ import annotations

import pytest

from boneseg.errors import UsageError
from boneseg.simulate.film import MIN_SIDE, check_size


def test_sizes_within_the_limits_are_taken() -> None:
    check_size((MIN_SIDE, MIN_SIDE))
    check_size((10_000, 10_000))


@pytest.mark.parametrize(
    ("size", "reason"), [((MIN_SIDE - 1, 99), "is too small"), ((10_001, 10_000), "is too large")]
)
def test_others_are_refused(size: tuple[int, int], reason: str) -> None:
    with pytest.raises(UsageError, match=f"a film of {size[0]}x{size[1]} {reason}"):
        check_size(size)
