"""The settings of a network: those of one family go together, and older cards are read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from boneseg.recipes.network import NetworkSettings, SettledNetwork


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"attention": True, "architecture": "unetplusplus"}, "attention requires"),
        ({"depth": 2}, "depth requires architecture unetplusplus"),
        (
            {"depth": 2, "architecture": "unetplusplus", "deep_supervision": False},
            "depth requires architecture unetplusplus with deep_supervision",
        ),
        ({"width": 0}, "greater than or equal to 1"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(
    settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        NetworkSettings.model_validate(settings)


def test_a_card_of_another_version_is_read() -> None:
    found = SettledNetwork.model_validate({"widths": [8, 16, 32], "colour": "red", "levels": None})
    assert (found.levels, found.widths, found.stem) == (3, (8, 16, 32), 1)


def test_a_settled_network_lacks_no_width() -> None:
    with pytest.raises(ValidationError):
        SettledNetwork.model_validate({"levels": 3})


def test_reading_it_loads_no_settings_of_training() -> None:
    program = (
        "import sys, boneseg.recipes.network; "
        "print(*(name for name in sys.modules if name.startswith('boneseg.recipes.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.split() == ["boneseg.recipes.network"]
