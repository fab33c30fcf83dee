"""The style of reports: readable in light and dark, on paper, and without a network."""

from __future__ import annotations

import re

import pytest

from boneseg._util.drawing.style import STYLE


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2) of #rgb or #rrggbb."""
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("number", [0, 1, 2], ids=["light", "dark", "print"])
def test_text_has_a_contrast_of_four_and_a_half_to_one(number: int) -> None:
    block = re.findall(r":root\{([^}]*)\}", STYLE)[number].replace("\n", "")
    colours = dict(re.findall(r"--(\w+):(#\w+)", block))
    for text in ("ink", "soft"):
        for ground in ("paper", "card"):
            low, high = sorted(luminance(colours[name]) for name in (text, ground))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_it_loads_nothing() -> None:
    assert "url(" not in STYLE and "@import" not in STYLE and "http" not in STYLE


def test_every_colour_that_it_uses_is_defined() -> None:
    used, defined = set(re.findall(r"var\(--(\w+)\)", STYLE)), set(re.findall(r"--(\w+):", STYLE))
    assert used == defined
