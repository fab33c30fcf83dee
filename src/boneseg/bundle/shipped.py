"""The models and the films in the package itself."""

from __future__ import annotations

from pathlib import Path

from boneseg._util.files import same_place

_MODELS = Path(__file__).parent / "models"


def bundled() -> Path:
    """The path of the bundled model."""
    return _MODELS / "bones"


def is_shipped(bundle: Path) -> bool:
    """Whether a bundle is the one in the package itself, whose files are trusted like its code."""
    return same_place(bundle, bundled())


def sample_films() -> Path:
    """The path of the bundled sample films, which are simulated."""
    return _MODELS / "samples"


def film_check_weights() -> Path:
    """The path of the bundled weights of `inference/plausibility.py`."""
    return _MODELS / "film-check.safetensors"


def verdict_weights() -> Path:
    """The path of the bundled weights of `inference/verdict/network.py`."""
    return _MODELS / "verdict.safetensors"
