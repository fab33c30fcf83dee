"""DICOM headers drawn at random, each with how dcm2pnm (Debian's dcmtk) is to be asked for it.

    case = draw(17)                        # the same for the same seed
    case.write(Path("film.dcm"))
    expected = case.reference(Path("film.dcm"))

dcm2pnm is given the film as it is, but for what `Case.reasons` names: there it is given a header
that says in the words of the standard what the film's is taken to mean.
docs/explanation/dicom-display.md lists these reasons.
"""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import uid as classes
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from tests.support import films

SIZE = 32, 40
# Why dcm2pnm is asked for something else than what the header says.
REASONS = {
    "hidden": "padding, and pixels outside the shutter, are black; dcm2pnm displays them",
    "percentiles": "percentiles replace a missing window and one that displays nothing",
    "whole numbers": "dcm2pnm rounds after Rescale Slope and Intercept; boneseg does not",
    "lone slope": "a slope or an intercept alone is applied; dcm2pnm requires both",
    "identity": "MONOCHROME1 is inverted even if Presentation LUT Shape is IDENTITY",
    "enhanced": "the Modality LUT of an enhanced XA or XRF image also yields intensity",
    "high bit": "a High Bit that contradicts the stored values is ignored",
    "16 bits": "a LUT declared as 16 bits whose values use fewer is scaled by the bits used",
    "next": "an invalid LUT or window is skipped, and the next one is used",
    "long": "a LUT longer than its descriptor states is truncated",
}
XA_RF = (
    classes.XRayAngiographicImageStorage,
    classes.XRayRadiofluoroscopicImageStorage,
    "1.2.840.10008.5.1.4.1.1.12.3",
)
ENHANCED = (classes.EnhancedXAImageStorage, classes.EnhancedXRFImageStorage)
OTHERS = (
    classes.ComputedRadiographyImageStorage,
    classes.DigitalXRayImageStorageForPresentation,
    classes.DigitalXRayImageStorageForProcessing,
    classes.DigitalIntraOralXRayImageStorageForPresentation,
    classes.DigitalMammographyXRayImageStorageForPresentation,
    classes.SecondaryCaptureImageStorage,
)


@dataclass
class Case:
    """A film, and what dcm2pnm is asked."""

    words: NDArray[Any]  # as they lie in the file, high bits and all
    stored: NDArray[np.int64]  # what they mean
    elements: dict[str, Any]
    syntax: UID = ExplicitVRLittleEndian
    meant: dict[str, Any] = field(default_factory=dict)  # other elements, for dcm2pnm
    options: list[str] = field(default_factory=list)
    stretched: bool = False  # whether percentiles are to be shown
    hidden: NDArray[np.bool_] | None = None
    reasons: set[str] = field(default_factory=set)
    changed: bool = False  # whether the Modality LUT is more than an identity
    unit: float = 0  # of the modality's output, by which dcm2pnm may be off

    def write(self, path: Path, **other: Any) -> Path:
        order = "<" if self.syntax.is_little_endian else ">"
        words = self.words.astype(self.words.dtype.newbyteorder(order))
        return films.dicom(path, words, self.syntax, **(self.elements | other))

    def reference(self, path: Path) -> NDArray[np.float64]:
        """What dcm2pnm shows of the film, [0, 1], its hidden pixels black."""
        asked = self.write(path.with_suffix(".meant.dcm"), **self.meant) if self.meant else path
        shown = dcm2pnm(asked, *self.options)
        if not self.stretched and not is_visible(shown, self.hidden):
            self.reasons.add("percentiles")
            self.stretched = True
        if self.stretched:
            plain = dcm2pnm(asked, *(["-M"] if "-M" in self.options else []), "-W")
            shown = percentiles(plain.ravel(), self.hidden).reshape(plain.shape)
        if self.hidden is not None:
            shown[self.hidden] = 0
        return shown


def dcm2pnm(path: Path, *options: str) -> NDArray[np.float64]:
    out = path.with_suffix(".png")
    words = ["dcm2pnm", "-q", "-O", *options, "+on2", str(path), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.asarray(Image.open(out), np.float64) / 65535


def percentiles(
    shown: NDArray[np.float64], hidden: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    """The 0.5th and the 99.5th percentile as 0 and 1, after the rule in greyscale.py."""
    usable = shown if hidden is None else shown[~hidden.ravel()]
    low, high = np.percentile(usable, (0.5, 99.5))
    return np.clip((shown - low) / (high - low), 0, 1)


def is_visible(shown: NDArray[np.float64], hidden: NDArray[np.bool_] | None) -> bool:
    """By docs/explanation/dicom-display.md: a twentieth of the greys, a fiftieth of the pixels."""
    seen = shown.ravel() if hidden is None else shown[~hidden]
    low, high = np.percentile(seen, (1, 99))
    share = ((seen > 0.002) & (seen < 0.998)).mean()
    return bool(high - low >= 0.05 and share >= 0.02)


def draw(seed: int) -> Case:
    """A film with bits, sign, slope, tables, windows, padding, shutter and polarity by `seed`."""
    dice = random.Random(seed)
    case = _pixels(dice)
    low, high = _modality(dice, case)
    _voi(dice, case, low, high)
    _polarity(dice, case)
    _hide(dice, case)
    return case


def _pixels(dice: random.Random) -> Case:
    bits = dice.choice((8, 8, 10, 12, 12, 13, 14, 16))
    signed = dice.random() < 0.35
    allocated = 8 if bits == 8 and dice.random() < 0.7 else 16
    bottom = -(1 << bits - 1) if signed else 0
    noise = np.random.default_rng(dice.randrange(1 << 30)).random(SIZE)
    stored = np.rint((films.bone(*SIZE, 65535) / 65535 * 0.8 + noise * 0.2) * ((1 << bits) - 1))
    stored = stored.astype(np.int64) + bottom
    dtype = np.dtype(f"{'i' if signed else 'u'}{allocated // 8}")
    elements: dict[str, Any] = {
        "BitsAllocated": allocated,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(signed),
        "PhotometricInterpretation": "MONOCHROME2",
    }
    case = Case(stored.astype(dtype), stored, elements)
    spare = allocated - bits
    if spare and dice.random() < 0.3:  # garbage, or an overlay, above the bits stored
        above = np.random.default_rng(dice.randrange(1 << 30)).integers(0, 1 << spare, SIZE)
        raw = (stored & ((1 << bits) - 1)) | above << bits
        case.words = raw.astype(np.uint16).view(dtype)
    elif spare and dice.random() < 0.2:
        case.words = (stored << spare).astype(dtype)  # filled from the top
        elements["HighBit"] = allocated - 1
    elif spare and not signed and dice.random() < 0.2:
        elements["HighBit"] = allocated - 1
        case.meant["HighBit"] = bits - 1
        case.reasons.add("high bit")
    syntaxes = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)
    case.syntax = dice.choices(syntaxes, (6, 2, 2 if allocated == 16 else 0))[0]
    elements["SOPClassUID"] = dice.choice((*OTHERS, *OTHERS, *XA_RF, *ENHANCED))
    if elements["SOPClassUID"] in XA_RF + ENHANCED:
        elements["Modality"] = "XA"
        elements["PixelIntensityRelationship"] = dice.choice(("LIN", "LOG", "DISP"))
    return case


def _modality(dice: random.Random, case: Case) -> tuple[float, float]:
    """Add slope and intercept, or a table; the limits of what comes out."""
    elements, kind = case.elements, dice.choices("ntrlo", (3, 3, 3, 1, 1))[0]
    before = limits = float(case.stored.min()), float(case.stored.max())
    if kind == "t":
        sequence, meant, limits = _table(dice, case, *before)
        elements["ModalityLUTSequence"] = sequence
        if meant != sequence:
            case.meant["ModalityLUTSequence"] = meant
    elif kind == "o":
        elements["RescaleSlope"], elements["RescaleIntercept"] = dice.choice((0, "")), ""
    elif kind in "rl":
        slope, intercept = dice.choice((1, 2, 0.5, -1, -0.25, 3.7)), dice.choice((0, -1024, 17.5))
        elements |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
        if kind == "l":
            case.reasons.add("lone slope")
            if dice.random() < 0.5:
                intercept = 0
                del elements["RescaleIntercept"]
            else:
                slope = 1
                del elements["RescaleSlope"]
            case.meant |= {"RescaleSlope": slope, "RescaleIntercept": intercept}
        limits = sorted(edge * slope + intercept for edge in before)
    if elements["SOPClassUID"] in ENHANCED and kind != "n":
        case.options.append("-M")
        case.reasons.add("enhanced")
    if elements["SOPClassUID"] in XA_RF + ENHANCED:
        return before
    case.changed = tuple(limits) != before or kind == "t"
    if kind in "rl" and (slope % 1 or intercept % 1):
        case.unit = 1
        case.reasons.add("whole numbers")
    return limits[0], limits[1]


def _table(
    dice: random.Random, case: Case, low: float, high: float
) -> tuple[list[Dataset], list[Dataset], tuple[float, float]]:
    """Items of a table for values of low to high, those meant, and the limits of its entries."""
    first, span = int(np.floor(low)), int(np.ceil(high)) - int(np.floor(low)) + 1
    first = max(-0x8000, first + dice.choice((0, 0, span // 8)))
    count = min(65536, max(16, span - dice.choice((0, 0, span // 8))))
    bits = 8 if count <= 256 else dice.choice((10, 12, 14, 16, 16))
    filled = dice.choice((10, 12, 16)) if bits == 16 else bits
    shape = dice.choice((lambda x: x, lambda x: x**0.7, lambda x: 1 - x, lambda x: x * x))
    entries = [round(((1 << filled) - 1) * shape(k / (count - 1))) for k in range(count)]
    data, meant = entries, entries
    if dice.random() < 0.4:
        data = meant = entries[: -dice.choice((1, 2, 9))]
    elif dice.random() < 0.2 and count < 65500:
        data = [*entries, *[0] * 8]
        case.reasons.add("long")
    vr = "SS" if first < 0 and dice.random() < 0.5 else "US"
    words = dice.random() < 0.5 or case.syntax.is_implicit_VR or len(data) > 30000
    packed = bits == 8 and len(data) == count and dice.random() < 0.6

    def item(data: list[int], bits: int) -> Dataset:
        one = Dataset()
        start = first if vr == "SS" else first & 0xFFFF
        one.add_new("LUTDescriptor", vr, [count & 0xFFFF, start, bits])
        values = np.array(data, np.uint16)
        if packed:  # the first of two in the low byte
            values = np.array(data + [0] * (len(data) % 2), np.uint8).view("<u2")
        order = "<" if case.syntax.is_little_endian else ">"
        one.add_new(
            "LUTData",
            "OW" if words else "US",
            values.astype(f"{order}u2").tobytes() if words else values.tolist(),
        )
        return one

    if filled < bits:
        case.reasons.add("16 bits")
    items, right = [item(data, bits)], [item(meant, filled)]
    if dice.random() < 0.2:
        broken = Dataset()
        if dice.random() < 0.5:
            broken.add_new("LUTDescriptor", "US", [256, 0, 8])
        items.insert(0, broken)
        case.reasons.add("next")
    return items, right, (float(min(meant)), float(max(meant)))


def _voi(dice: random.Random, case: Case, low: float, high: float) -> None:
    elements, span = case.elements, max(2.0, high - low)
    kind = dice.choices(("none", "window", "table"), (2, 5, 3))[0]
    if kind == "table":
        elements["VOILUTSequence"], meant, (bottom, top) = _table(dice, case, low, high)
        case.meant["VOILUTSequence"] = meant
        case.options += ["+Wl", "1"]
        case.unit *= 6 / min(span, top - bottom)  # of which no curve of a table is steeper
        return
    center = round(low + span * dice.uniform(0.2, 0.8), 2)
    narrow = 0.3 if case.unit else 0.02
    width = round(span * dice.choice((narrow, 0.3, 0.6, 1.0, 1.5, 40)) + 1, 2)
    if kind == "window":
        centers, widths = [center], [width]
        if dice.random() < 0.3:
            centers, widths = [center, center / 2], [width, width * 2]
        elif dice.random() < 0.3:
            centers, widths = [center + 5, center], [dice.choice((0, -10)), width]
            case.meant |= {"WindowCenter": center, "WindowWidth": width}
            case.reasons.add("next")
        elements["WindowCenter"], elements["WindowWidth"] = centers, widths
        if function := dice.choice((None, "LINEAR", "SIGMOID", None)):
            elements["VOILUTFunction"] = function
        case.options += ["+Wi", "1"]
        case.unit *= max(1 / max(1, width - 1), 1.2 / span)
        return
    if dice.random() < 0.4:
        elements["WindowCenter"], elements["WindowWidth"] = center, dice.choice(("", 0, -7))
    case.options.append("-W")
    case.unit *= 1.2 / span
    finished = elements["BitsStored"] == 8 and not elements["PixelRepresentation"]
    if not finished or case.changed:
        case.stretched = True
        case.reasons.add("percentiles")


def _polarity(dice: random.Random, case: Case) -> None:
    word = dice.choice(("MONOCHROME1", "MONOCHROME2"))
    shape = dice.choice((None, None, "IDENTITY", "INVERSE"))
    case.elements["PhotometricInterpretation"] = word
    if shape:
        case.elements["PresentationLUTShape"] = shape
    if word == "MONOCHROME1" and shape == "IDENTITY":
        case.meant["PresentationLUTShape"] = "INVERSE"
        case.reasons.add("identity")


def _hide(dice: random.Random, case: Case) -> None:
    hidden = np.zeros(SIZE, np.bool_)
    if dice.random() < 0.3:
        value = int(dice.choice((case.stored.min(), case.stored.max(), case.stored[3, 3])))
        limit = value + dice.choice((0, 0, 40, -40))
        bits = case.elements["BitsStored"]
        signed = case.elements["PixelRepresentation"]
        bottom, top = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        limit = max(bottom, min(top, limit))
        for keyword, edge in (("PixelPaddingValue", value), ("PixelPaddingRangeLimit", limit)):
            vr = dice.choice(("US", "SS"))
            word = edge & 0xFFFF
            word -= 0x10000 if vr == "SS" and word & 0x8000 else 0
            case.elements[keyword] = DataElement(tag_for_keyword(keyword), vr, word)
        hidden |= (case.stored >= min(value, limit)) & (case.stored <= max(value, limit))
    if dice.random() < 0.2:
        top, left = dice.randint(1, 6), dice.randint(1, 8)
        bottom, right = dice.randint(20, 32), dice.randint(20, 40)
        case.elements |= {
            "ShutterShape": "RECTANGULAR",
            "ShutterUpperHorizontalEdge": top,
            "ShutterLowerHorizontalEdge": bottom,
            "ShutterLeftVerticalEdge": left,
            "ShutterRightVerticalEdge": right,
        }
        outside = np.ones(SIZE, np.bool_)
        outside[top - 1 : bottom, left - 1 : right] = False
        hidden |= outside
    if hidden.any() and hidden.mean() < 0.99:
        case.hidden = hidden
        case.reasons.add("hidden")
