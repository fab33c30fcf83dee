"""What the header of a DICOM film says it shows: body part, view, laterality and medial side.

    describe(Path("knee.dcm"))      # {"part": "KNEE", "view": "AP", "laterality": "L"}
    stated_medial_side(Path("knee.dcm"))        # "left", of the film

Nothing that could identify a patient is returned: only words of the code string repertoire (PS3.5
6.2, CS), none of which is an identifier in the same header.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydicom.dataset import Dataset

from boneseg._util.quiet import quiet
from boneseg.radiograph.dicom.file import read_file
from boneseg.radiograph.dicom.header import text_of, texts_of
from boneseg.radiograph.privacy import gives_away
from boneseg.radiograph.sniff import is_dicom

_KEYWORDS = {  # in the order of preference; PS3.3 C.7.3.1, C.8.7.1, C.8.11.5
    "part": ("BodyPartExamined",),
    "view": ("ViewPosition",),
    "laterality": ("ImageLaterality", "Laterality"),
}
_CODE = re.compile(r"[A-Z0-9 _]{1,16}")


def describe(path: Path) -> dict[str, str]:
    """The part, view and laterality of a film, as its header spells them; absent where it does not.

    Empty for a file that is not DICOM or is damaged; never raises.
    """
    with quiet(), suppress(Exception):  # a header may be damaged anywhere
        header = _header(path)
        found = {name: _stated(header, name) for name in _KEYWORDS}
        return {
            name: word
            for name, word in found.items()
            if _CODE.fullmatch(word) and not gives_away(word, path)
        }
    return {}


def stated_medial_side(path: Path) -> Literal["left", "right"] | None:
    """The side of the film that is medial for its only leg or arm, None where no header says it.

    From the laterality and the direction of the film's rows (Patient Orientation, PS3.3
    C.7.6.1.1.1). Never raises.
    """
    with quiet(), suppress(Exception):  # as above
        header = _header(path)
        side, rows = _stated(header, "laterality"), texts_of(header, "PatientOrientation")[0][:1]
        if side in ("L", "R") and rows in ("L", "R"):
            return "left" if rows == side else "right"
    return None


def _header(path: Path) -> Dataset:
    """The header of a DICOM film, empty of another; raises what reading it raises."""
    return read_file(path, pixels=False) if is_dicom(path) else Dataset()


def _stated(header: Dataset, name: str) -> str:
    """What a header says first of a part, a view or a laterality, "" where nothing."""
    return next((word for keyword in _KEYWORDS[name] if (word := text_of(header, keyword))), "")
