"""The codes and colours of bones by name, as formats write them.

    concept = concept_of("femur")
    concept.code, concept.meaning        # "71341001", "Femur", of SNOMED CT
    colour_of("femur")                   # (red, green, blue), 0 to 255

Codes and meanings are those of the dictionary of DICOM (PS3.16), where it has the bone; that of
the hip bone is "Innominate bone structure" of SNOMED CT, and those of carpals and phalanges are the
ones of TotalSegmentator. Phalanges of hand and foot have one code, and differ by region.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

Code = tuple[str, str]  # value and meaning in SNOMED CT

_HAND, _FOOT = ("85562004", "Hand"), ("56459004", "Foot")
_HUES, _STEP, _FIRST = 12, 5, 3  # of the colour wheel: from one bone to the next, of the first one
_TURN = 10  # of the hues of the second twelve bones, so that no two bones that touch share one
_LIGHTNESS = (0.65, 0.42)


@dataclass(frozen=True)
class Concept:
    """A bone in SNOMED CT. region: that it is in, where the code does not say it."""

    code: str
    meaning: str
    region: Code | None = None


BONE = Concept("272673000", "Bone")  # without a name
CONCEPTS = {
    "skull": Concept("89546000", "Skull"),
    "mandible": Concept("91609006", "Mandible"),
    "cervical spine": Concept("122494005", "Cervical spine"),
    "thoracic spine": Concept("122495006", "Thoracic spine"),
    "lumbar spine": Concept("122496007", "Lumbar spine"),
    "sacrum": Concept("54735007", "Sacrum"),
    "ribs": Concept("113197003", "Rib"),
    "sternum": Concept("56873002", "Sternum"),
    "clavicle": Concept("51299004", "Clavicle"),
    "scapula": Concept("79601000", "Scapula"),
    "humerus": Concept("85050009", "Humerus"),
    "radius": Concept("62413002", "Radius"),
    "ulna": Concept("23416004", "Ulna"),
    "carpals": Concept("83936004", "Carpus"),
    "metacarpals": Concept("36455000", "Metacarpal"),
    "phalanges": Concept("28641004", "Phalanx", _HAND),
    "hip bone": Concept("28254004", "Innominate bone"),
    "femur": Concept("71341001", "Femur"),
    "patella": Concept("64234005", "Patella"),
    "tibia": Concept("12611008", "Tibia"),
    "fibula": Concept("87342007", "Fibula"),
    "tarsals": Concept("108371006", "Tarsus"),
    "metatarsals": Concept("280711000", "Metatarsus"),
    "toes": Concept("28641004", "Phalanx", _FOOT),
}
_PLACES = {name: place for place, name in enumerate(CONCEPTS)}


def concept_of(name: str) -> Concept:
    """The concept of a bone; `BONE` for any other name."""
    return CONCEPTS.get(name, BONE)


def colour_of(name: str) -> tuple[int, int, int]:
    """The colour of a bone, always the same: red, green and blue, 0 to 255."""
    place = _PLACES.get(name, len(CONCEPTS))
    lap = place // _HUES
    hue = (place * _STEP + lap * _TURN + _FIRST) % _HUES / _HUES
    red, green, blue = colorsys.hls_to_rgb(hue, _LIGHTNESS[lap % len(_LIGHTNESS)], 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)
