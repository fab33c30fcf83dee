"""The bundled files exist and are valid."""

from __future__ import annotations

from PIL import Image
from safetensors.numpy import load_file

from boneseg.bundle.shipped import bundled, film_check_weights, sample_films
from boneseg.bundle.store import load_bundle


def test_the_bundled_model_is_a_verified_bundle() -> None:
    card = load_bundle(bundled()).card
    assert 0 < card.threshold < 1 and card.height >= 32


def test_the_sample_films_are_grey_pictures() -> None:
    films = sorted(sample_films().glob("*.png"))
    assert {"foot", "hand", "hip", "knee"} <= {film.stem for film in films}
    for film in films:
        with Image.open(film) as image:
            assert image.mode in ("L", "I;16") and min(image.size) >= 256


def test_the_film_check_has_finite_weights() -> None:
    weights = load_file(film_check_weights())
    assert weights and all((abs(values) < 1e4).all() for values in weights.values())
