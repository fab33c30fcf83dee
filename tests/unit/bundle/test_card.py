"""Cards of older and newer versions of boneseg are read; a changed one is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from boneseg.bundle.card import CARD, FORMAT, Card, CardData, card_digest
from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle, seen_by
from boneseg.errors import BundleError

# As the first version wrote it: without the fields that came later.
FIRST = {
    "architecture": {"architecture": "unet", "widths": [8, 16], "norm": "batch", "stem": None},
    "height": 96,
    "width": 64,
    "threshold": 0.5,
    "metrics": {"dice": 0.9},
    "restarts": 0,
    "data": {"fingerprint": "ab", "films": 3},
    "recipe": {},
    "versions": {"boneseg": "0.1.0"},
}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundled(), tmp_path / "bundle"))


def changed(folder: Path, **facts: object) -> None:
    """Change the card of a bundle, and sign it again."""
    card = json.loads((folder / CARD).read_text()) | facts
    signed = card | {"card_sha256": card_digest(card)}
    (folder / CARD).write_text(json.dumps(signed), encoding="utf-8")


def test_a_grid_beyond_any_film_is_refused(copied: Path) -> None:
    for side in (0, 2**16 + 1, 10**400):
        changed(copied, height=side)
        with pytest.raises(BundleError):
            load_bundle(copied)


def test_a_card_of_the_first_version_has_defaults_for_missing_fields() -> None:
    card = Card.of(FIRST)
    assert (card.members, card.fitted, card.temperature, card.format) == (1, False, 1.0, 1)
    assert (card.network.levels, card.network.stem) == (2, 1)
    assert card.data == CardData(fingerprint="ab", films=3)


def test_a_bundle_of_an_older_version_is_read(copied: Path) -> None:
    card = json.loads((copied / CARD).read_text())
    older = {name: value for name, value in card.items() if name not in ("temperature", "levels")}
    older["data"] = {"fingerprint": "ab"}
    (copied / CARD).write_text(json.dumps(older | {"card_sha256": card_digest(older)}))
    assert load_bundle(copied).card.data.training is None


def test_fields_of_a_newer_version_are_ignored(copied: Path) -> None:
    card = json.loads((copied / CARD).read_text())
    changed(
        copied,
        sharpness=0.3,
        metrics=card["metrics"] | {"cldice": 0.9},
        architecture=card["architecture"] | {"gates": 2},
        data=card["data"] | {"sites": 4},
    )
    found = load_bundle(copied).card
    assert found.metrics["cldice"] == 0.9
    assert found.network == load_bundle("bundled").card.network


def test_a_field_that_is_not_known_is_signed_like_the_others(copied: Path) -> None:
    changed(copied, sharpness=0.3)
    card = json.loads((copied / CARD).read_text())
    (copied / CARD).write_text(json.dumps(card | {"sharpness": 0.4}), encoding="utf-8")
    with pytest.raises(BundleError, match="has changed since it was saved"):
        load_bundle(copied)


def test_a_newer_format_is_refused(copied: Path) -> None:
    changed(copied, format=FORMAT + 1)
    with pytest.raises(BundleError, match="written by a newer boneseg; update boneseg"):
        load_bundle(copied)


def test_films_that_a_model_has_seen_are_known_by_their_digests(copied: Path) -> None:
    changed(copied, data={"fingerprint": "ab", "films": 2, "seen": ["f00d", "beef"]})
    assert seen_by(load_bundle(copied)) == {"f00d", "beef"}
    assert seen_by(load_bundle("bundled")) == seen_by(None) == frozenset()
