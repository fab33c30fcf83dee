"""Each bone has a code of SNOMED CT, as DICOM and other programs write it, and a colour."""

from __future__ import annotations

import colorsys
from itertools import pairwise

import pytest
from pydicom.sr.codedict import codes

from boneseg.masks.terminology import BONE, CONCEPTS, Concept, colour_of, concept_of
from boneseg.simulate.bones import NAMES

# The keyword of each in pydicom's dictionary; `Radius` there is that of a circle.
KEYWORDS = {
    "skull": "Skull", "mandible": "Mandible", "cervical spine": "CervicalSpine",
    "thoracic spine": "ThoracicSpine", "lumbar spine": "LumbarSpine", "sacrum": "Sacrum",
    "ribs": "Rib", "sternum": "Sternum", "clavicle": "Clavicle", "scapula": "Scapula",
    "humerus": "Humerus", "radius": "RadiusBone", "ulna": "Ulna", "metacarpals": "Metacarpal",
    "femur": "Femur", "patella": "Patella", "tibia": "Tibia", "fibula": "Fibula",
    "tarsals": "Tarsus", "metatarsals": "Metatarsus",
}  # fmt: skip
_TIMES = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7), (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3), (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)  # fmt: skip
_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def is_valid(code: str) -> bool:
    """Whether the last digit of a code is the check digit of the others (Verhoeff, 1969)."""
    check = 0
    for place, digit in enumerate(reversed(code)):
        value = int(digit)
        for _ in range(place % 8):
            value = _TURN[value]
        check = _TIMES[check][value]
    return check == 0


def test_every_bone_that_the_simulator_labels_has_a_code() -> None:
    assert tuple(CONCEPTS) == NAMES


@pytest.mark.parametrize("name", KEYWORDS)
def test_codes_are_those_of_the_dictionary_of_dicom(name: str) -> None:
    known, own = getattr(codes.SCT, KEYWORDS[name]), concept_of(name)
    assert (own.code, own.meaning) == (known.value, known.meaning)


def test_every_code_ends_with_its_check_digit() -> None:
    assert all(is_valid(concept.code) for concept in (*CONCEPTS.values(), BONE))
    assert not is_valid("71341002")


def test_phalanges_of_hand_and_foot_differ_by_region() -> None:
    hand, foot = concept_of("phalanges"), concept_of("toes")
    assert hand.code == foot.code
    assert (hand.region, foot.region) == tuple(
        (code.value, code.meaning) for code in (codes.SCT.Hand, codes.SCT.Foot)
    )


def test_another_name_is_bone() -> None:
    assert concept_of("os cordis") == BONE == Concept(codes.SCT.Bone.value, codes.SCT.Bone.meaning)


TOUCHING = (
    ("skull", "mandible", "cervical spine", "thoracic spine", "lumbar spine", "sacrum", "hip bone"),
    ("lumbar spine", "hip bone", "femur", "sacrum"),
    ("thoracic spine", "ribs", "sternum", "clavicle", "scapula", "humerus", "ribs", "scapula"),
    ("humerus", "radius", "ulna", "humerus"),
    ("ulna", "carpals", "radius"),
    ("carpals", "metacarpals", "phalanges"),
    ("femur", "patella", "tibia", "femur", "fibula", "tibia", "tarsals", "fibula"),
    ("tarsals", "metatarsals", "toes"),
)


def test_bones_that_touch_differ_in_hue() -> None:
    def hue(name: str) -> float:
        red, green, blue = colour_of(name)
        return colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)[0]

    for one, other in (pair for chain in TOUCHING for pair in pairwise(chain)):
        apart = abs(hue(one) - hue(other))
        assert min(apart, 1 - apart) > 0.15, (one, other)


def test_no_two_bones_have_the_same_colour() -> None:
    colours = [colour_of(name) for name in CONCEPTS]
    assert len(set(colours)) == len(colours)
    nearest = min(
        sum(abs(a - b) for a, b in zip(one, other, strict=True))
        for place, one in enumerate(colours)
        for other in colours[:place]
    )
    assert nearest > 40
