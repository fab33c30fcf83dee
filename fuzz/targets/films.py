"""Films: pictures by format, DICOM by transfer syntax."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from mutations import png_checked
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from boneseg.radiograph.read import read_radiograph
from targets.target import Target
from tests.support.films import bone, dicom

SIZE = (60, 80)  # of the films and masks
SYNTAXES = {
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


def _read_film(path: Path) -> None:
    read_radiograph(path, frame=1)


def targets() -> dict[str, Target]:
    kinds = ("PNG", "JPEG", "TIFF", "BMP", "WEBP")
    repairs = {"PNG": png_checked}
    pictures = {
        f"film-{kind.lower()}": Target("film.bin", _read_film, _pictures(kind), repairs.get(kind))
        for kind in kinds
    }
    dicoms = {
        f"dicom-{name}": Target("film.dcm", _read_film, _films(syntax))
        for name, syntax in SYNTAXES.items()
    }
    return pictures | dicoms | {"dicom-deflated": Target("film.dcm", _read_film, _deflated)}
