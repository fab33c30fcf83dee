"""Documents of the data folder stay readable: those below were written before they had versions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from boneseg.server.errors import ServerError
from boneseg.server.light_box import chosen_models
from boneseg.server.storage.library import Library
from boneseg.server.storage.mask_states import NO_MASK
from boneseg.server.storage.records import ChosenModels, Removals, SavedMask, States
from boneseg.server.storage.results import StoredFacts
from tests.support.lightbox import fill

STATES = """{
"1b001706a418-c6837deed593862d": "corrected",
"dd805812f2fd-c6837deed593862d": "accepted"
}
"""
REMOVALS = '{\n"6d0ef3950c22": 1795897729.7904782\n}\n'
CHOSEN = '{"bundle": "runs/0001/bundle"}\n'
FACTS = (
    '{"height": 24, "width": 32, "spacing_mm": [0.2, 0.1], "spacing_kind": "detector", '
    '"threshold": 0.5, "area_px": 508, "area_mm2": 10.16, "part": "knee", "part_confidence": 0.9, '
    '"projection": null, "projection_confidence": null, "verdict": "good", "reason": "", '
    '"trust": 0.97, "dicom": false, "tags": {}, '
    '"seconds": 0.4154, "model": "d880c6eaa560", "stamp": "1795897728749806359-860"}'
)


def test_documents_without_a_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    path.write_text(STATES)
    masks = {name: SavedMask(state) for name, state in json.loads(STATES).items()}
    assert States.load(path).states == masks
    path.write_text(json.dumps({"version": 2, "states": json.loads(STATES)}))
    assert States.load(path).states == masks
    path.write_text(REMOVALS)
    assert Removals.load(path).since == json.loads(REMOVALS)
    path.write_text(CHOSEN)
    chosen = ChosenModels.load(path)
    assert chosen.bundle == chosen.api == "runs/0001/bundle"
    path.write_text(FACTS)
    facts = StoredFacts.read(path)
    assert facts.model_dump(exclude={"version", "answers", "aspect"}) == json.loads(FACTS) | {
        "spacing_mm": (0.2, 0.1)
    }


def test_a_library_of_an_earlier_version_keeps_its_states_and_removals(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films", "hand", "knee"))
    hand, knee = library.entries()
    library.save(hand.id, np.eye(300, dtype=bool), "accepted", NO_MASK)
    library.save(knee.id, np.eye(300, dtype=bool), "corrected", NO_MASK)
    hand.image.unlink()
    library.notice()
    states, removals = library.hidden / "states.json", library.hidden / "gone.json"
    removals.write_text(json.dumps(json.loads(removals.read_text())["since"]))  # as version 1
    saved = json.loads(states.read_text())["states"]
    states.write_text(json.dumps({mask: how["state"] for mask, how in saved.items()}))
    before = removals.read_text()
    reopened = Library(library.root)
    reopened.notice()
    assert [reopened.state(entry) for entry in reopened.entries()] == ["corrected"]
    assert removals.read_text() == before  # the retention period of the hand continues


@pytest.mark.parametrize(
    "document", [States(states={"a-b": SavedMask("accepted")}), Removals(since={"a": 1.5})]
)
def test_documents_are_read_as_they_were_written(tmp_path: Path, document: States) -> None:
    document.write(tmp_path / "document.json")
    assert json.loads((tmp_path / "document.json").read_text())["version"] == document.VERSION
    assert type(document).load(tmp_path / "document.json") == document


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"version": 99, "states": {}}', '{"a-b": "perhaps"}', "null", '"a"']
)
def test_damaged_and_later_states_are_refused_and_kept(tmp_path: Path, content: str) -> None:
    library = Library(fill(tmp_path / "films", "hand"))
    states = library.hidden / "states.json"
    states.write_text(content)
    with pytest.raises(ServerError, match=r"states.json: is damaged, or was written by a later"):
        Library(library.root)
    assert states.read_text() == content


def test_a_chosen_model_that_was_removed_is_not_used(tmp_path: Path) -> None:
    library = Library(fill(tmp_path / "films"))
    assert chosen_models(library) == (None, None)
    (library.hidden / "model.json").write_text(CHOSEN)
    assert chosen_models(library) == (None, None)
    bundle = library.hidden / "runs" / "0001" / "bundle"
    bundle.mkdir(parents=True)
    (bundle / "model.json").write_text("{}")
    assert chosen_models(library) == (bundle, bundle)
    (library.hidden / "model.json").write_text("{}")
    with pytest.raises(ServerError, match=r"model.json: is damaged"):
        chosen_models(library)
