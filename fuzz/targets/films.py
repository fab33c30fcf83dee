"""What is fuzzed: each reader of a file from outside, with seeds made by code.

A target reads one file. Its own errors (BonesegError) are what is wanted of a damaged file; any
other exception is a finding.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import imagecodecs
import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from boneseg.bundle.shipped import bundled
from boneseg.bundle.store import load_bundle
from boneseg.errors import BonesegError
from boneseg.evaluation.metrics import columns
from boneseg.masks.annotations import open_annotations
from boneseg.masks.formats import FORMATS
from boneseg.masks.read import read_mask
from boneseg.radiograph.provenance import read_report
from boneseg.radiograph.read import read_radiograph
from boneseg.recipes.builtin import load_recipe
from boneseg.training.history import Check, read_history, write_history
from tests.support.datasets import decoded
from tests.support.films import bone, dicom
from tests.support.readings import dicom_film, picture, reading

SIZE = (60, 80)  # of the films and masks


@dataclass(frozen=True)
class Target:
    """A reader: what it reads (by name), how, and files that it reads without an error."""

    name: str  # of the file that it is given
    read: Callable[[Path], Any]
    seeds: Callable[[Path], list[bytes]]  # made in an empty folder


# -- films ----------------------------------------------------------------------------------------


def _pictures(kind: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        grey = bone(*SIZE)
        eight = Image.fromarray((grey >> 4).astype(np.uint8))
        pictures: list[tuple[Image.Image, dict[str, Any]]] = [(eight, {})]
        if kind in ("PNG", "TIFF"):
            pictures += [(Image.fromarray(grey), {}), (eight.convert("RGBA"), {})]
        if kind == "TIFF":
            words = ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4")
            pictures += [
                (eight.convert("1") if word == "group4" else eight, {"compression": word})
                for word in words
            ]
        if kind == "JPEG":
            pictures += [(eight.convert("RGB"), {"progressive": True})]
        if kind == "BMP":
            pictures += [(eight.convert("1"), {}), (eight.convert("RGB"), {})]
        if kind == "WEBP":
            pictures += [(eight, {"lossless": True})]
        files = []
        for image, options in pictures:
            file = io.BytesIO()
            image.save(file, kind, **options)
            files.append(file.getvalue())
        return files

    return seeds


def _films(syntax: str) -> Callable[[Path], list[bytes]]:
    def seeds(folder: Path) -> list[bytes]:
        syntaxes = {"baseline": uid.JPEGBaseline8Bit, "extended": uid.JPEGExtended12Bit}
        kind = uid.UID(syntaxes.get(syntax, syntax))
        eight, twelve = (bone(*SIZE) >> 4).astype(np.uint8), bone(*SIZE)
        frames: list[tuple[Any, bytes | None]] = []
        if kind in (uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLosslessSV1):
            bits = {"lossless": True} if kind == uid.JPEGLosslessSV1 else {}
            frames = [(eight, imagecodecs.jpeg8_encode(eight, **bits))]
            if kind != uid.JPEGBaseline8Bit:
                frames += [(twelve, imagecodecs.jpeg8_encode(twelve, bitspersample=12, **bits))]
        elif kind in (uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.HTJ2KLossless):
            encode = {
                uid.JPEGLSLossless: imagecodecs.jpegls_encode,
                uid.JPEG2000Lossless: lambda values: imagecodecs.jpeg2k_encode(
                    values, codecformat="j2k", level=0, reversible=True
                ),
                uid.HTJ2KLossless: lambda values: imagecodecs.htj2k_encode(values, reversible=True),
            }[kind]
            frames = [(values, encode(values)) for values in (eight, twelve)]
        else:
            frames = [(eight, None), (twelve, None)]
        files = []
        for values, frame in frames:
            path = dicom(folder / "a.dcm", values, uid.ExplicitVRLittleEndian if frame else kind)
            if frame:
                dataset = pydicom.dcmread(path)
                dataset.PixelData = encapsulate([frame])
                dataset.file_meta.TransferSyntaxUID = kind
                dataset["PixelData"].is_undefined_length = True
                dataset.save_as(path)
            files.append(path.read_bytes())
        return files

    return seeds


def _deflated(folder: Path) -> list[bytes]:
    path = dicom(folder / "a.dcm", bone(*SIZE), uid.ExplicitVRLittleEndian)
    content = path.read_bytes()
    end = 144 + int.from_bytes(content[140:144], "little")
    meta = content[:end].replace(
        b"\x14\x001.2.840.10008.1.2.1\0", b"\x16\x001.2.840.10008.1.2.1.99"
    )
    meta = meta[:140] + (len(meta) - 144).to_bytes(4, "little") + meta[144:]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return [meta + packer.compress(content[end:]) + packer.flush()]


# -- masks ----------------------------------------------------------------------------------------


def _mask() -> Any:
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    disc = (rows - 25) ** 2 + (columns - 30) ** 2 < 200
    return disc & ((rows - 25) ** 2 + (columns - 30) ** 2 > 30) | (columns > 70)


def _masks(form: str) -> Callable[[Path], list[bytes]]:
    """A mask as this project writes it, and as its own size says."""

    def seeds(folder: Path) -> list[bytes]:
        make = dicom_film if form == "dicom-seg" else picture
        path = make(folder / ("knee.dcm" if form == "dicom-seg" else "knee.png"), *SIZE)
        found = reading(path, _mask())
        chosen = FORMATS[form]
        if chosen.document:
            chosen.write_document(folder / chosen.document, [chosen.entry(found)])
            return [(folder / chosen.document).read_bytes()]
        chosen.write(folder / f"out{chosen.suffix}", found)
        return [(folder / f"out{chosen.suffix}").read_bytes()]

    return seeds


def _read_masks(path: Path) -> None:
    """Every film of a file of annotations, each by itself, as a data set does."""
    faults = []
    for drawing in open_annotations(path):
        try:
            read_mask(path, SIZE, film=drawing.name or None)
        except BonesegError as error:
            faults.append(error)
    if faults:
        raise faults[0]


# -- settings and results -------------------------------------------------------------------------


def _recipes(folder: Path) -> list[bytes]:
    return [load_recipe(name).to_toml().encode() for name in ("default", "fast")]


def _read_card(path: Path) -> None:
    folder = path.parent / "bundle"
    if not folder.exists():
        shutil.copytree(bundled(), folder)
    shutil.copy(path, folder / "model.json")
    load_bundle(folder)


def _history(folder: Path) -> list[bytes]:
    path = folder / "history.csv"
    write_history([Check(1, 0.5, 10, 2.5, 0.1, 1e-3, 0.7, 0.8, "a note")] * 3, path)
    return [path.read_bytes()]


def _report(folder: Path) -> list[bytes]:
    entry = {"input": "knee.png", "outputs": {"mask": "knee_mask.png"}, "error": None}
    return [json.dumps([entry] * 3, indent=2).encode()]


def _fold(folder: Path) -> list[bytes]:
    scores = dict.fromkeys([*columns(), "empty_prediction", "empty_truth"], 0.5)
    known = {"threshold": 0.5, "restarts": 0, "seconds": 1.5, "parameters": 1000}
    return [json.dumps({"cases": [{"name": "knee", **scores}], "trust": [0.9], **known}).encode()]


def _read_fold(path: Path) -> None:
    from boneseg.experiments.fold import read_fold  # imports torch

    (path.parent / "fold-1").mkdir(exist_ok=True)
    shutil.copy(path, path.parent / "fold-1" / "fold.json")
    read_fold(path.parent, 1, [decoded("knee")])


def _read_film(path: Path) -> None:
    read_radiograph(path, frame=1)


def targets() -> dict[str, Target]:
    """All targets, by name."""
    films = {
        f"film-{kind.lower()}": Target("film.bin", _read_film, _pictures(kind))
        for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
    }
    syntaxes = {
        "explicit": uid.ExplicitVRLittleEndian,
        "implicit": uid.ImplicitVRLittleEndian,
        "big-endian": uid.ExplicitVRBigEndian,
        "jpeg-baseline": uid.JPEGBaseline8Bit,
        "jpeg-extended": uid.JPEGExtended12Bit,
        "jpeg-lossless": uid.JPEGLosslessSV1,
        "jpeg-ls": uid.JPEGLSLossless,
        "jpeg-2000": uid.JPEG2000Lossless,
        "htj2k": uid.HTJ2KLossless,
        "rle": uid.RLELossless,
    }
    dicoms = {
        f"dicom-{name}": Target("film.dcm", _read_film, _films(syntax))
        for name, syntax in syntaxes.items()
    }
    masks = {
        "mask-nrrd": Target("knee.seg.nrrd", _read_masks, _masks("nrrd")),
        "mask-nifti": Target("knee.nii.gz", _read_masks, _masks("nifti")),
        "mask-dicom-seg": Target("knee.dcm", _read_masks, _masks("dicom-seg")),
        "mask-labelme": Target("knee.json", _read_masks, _masks("labelme")),
        "mask-coco": Target("coco.json", _read_masks, _masks("coco")),
        "mask-coco-polygons": Target("coco.json", _read_masks, _masks("coco-polygons")),
        "mask-cvat": Target("annotations.xml", _read_masks, _masks("cvat")),
        "mask-label-studio": Target("studio.json", _read_masks, _masks("label-studio")),
        "mask-yolo": Target("knee.txt", _read_masks, _masks("yolo")),
        "mask-png": Target("knee.png", lambda path: read_mask(path, SIZE), _masks("mask")),
    }
    others = {
        "recipe": Target("recipe.toml", lambda path: load_recipe(str(path)), _recipes),
        "bundle-card": Target(
            "model.json", _read_card, lambda folder: [(bundled() / "model.json").read_bytes()]
        ),
        "segment-report": Target("segment.json", read_report, _report),
        "crossval-fold": Target("fold.json", _read_fold, _fold),
        "history": Target("history.csv", read_history, _history),
    }
    deflated = {"dicom-deflated": Target("film.dcm", _read_film, _deflated)}
    return films | dicoms | deflated | masks | others
