"""Films of real size for benchmarks: a simulated film, enlarged, with grain, in any syntax.

    values = grained(12)                            # uint16, 12 bits, of 12 megapixels
    SYNTAXES["JPEG-LS"].save(Path("film.dcm"), values)

Every syntax is lossless, or for 8 bits the rounded values. The decoders named are the permissively
licensed ones that imagecodecs and Pillow bring: the fastest is the floor of reading.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from boneseg.simulate.phantom import phantom_film

Values = NDArray[np.uint16]
Decoder = Callable[[bytes, tuple[int, int]], NDArray[np.generic]]

TOP = 4095  # 12 bits
SHAPE = (4, 3)  # of a film: height to width
_DRAWN = (1024, 768)  # px of the simulated film that is enlarged
_GRAIN = 12  # standard deviation, in steps of 12 bits
_PART = 3  # seed of a phantom: a thigh


@dataclass(frozen=True)
class Syntax:
    """How a film is stored, and what decodes it.

    uid: the DICOM transfer syntax; None for PNG. encode: the values, uint16 H x W, as the bytes of
    a frame, or of a PNG file. decoders: by name, from these bytes and (height, width).
    """

    uid: str | None
    encode: Callable[[Values], bytes]
    decoders: Mapping[str, Decoder]

    @property
    def suffix(self) -> str:
        return ".dcm" if self.uid else ".png"

    def save(self, path: Path, values: Values) -> bytes:
        """Write a film to a file; returns the bytes that a decoder is given."""
        data = self.encode(values)
        if self.uid is None:
            path.write_bytes(data)
        else:
            _dicom(values.shape, self.uid, data).save_as(path, enforce_file_format=True)
        return data


def grained(megapixels: float, seed: int = 0) -> Values:
    """A film of so many megapixels: 12 bits, uint16 H x W."""
    unit = (megapixels * 1e6 / (SHAPE[0] * SHAPE[1])) ** 0.5
    height, width = (round(side * unit) for side in SHAPE)
    smooth = np.asarray(_drawn().resize((width, height), Image.Resampling.BICUBIC))
    grain = np.random.default_rng(seed).normal(0, _GRAIN, smooth.shape)
    return np.clip(np.rint(smooth * (TOP - 500) + 200 + grain), 0, TOP).astype(np.uint16)


@cache
def _drawn() -> Image.Image:
    return Image.fromarray(phantom_film(_PART, _DRAWN).pixels)


def _dicom(shape: tuple[int, ...], syntax: str, data: bytes) -> Dataset:
    """A digital radiograph with a linear window over all of its values."""
    film = Dataset()
    film.SOPClassUID, film.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    film.Modality, film.PhotometricInterpretation = "DX", "MONOCHROME2"
    film.Rows, film.Columns = shape
    film.SamplesPerPixel, film.PixelRepresentation = 1, 0
    film.BitsAllocated, film.BitsStored, film.HighBit = 16, 12, 11
    film.WindowCenter, film.WindowWidth = 2048, 4096
    film.ImagerPixelSpacing = [0.14, 0.14]
    plain = syntax == ExplicitVRLittleEndian
    film.PixelData = data if plain else encapsulate([data])
    film["PixelData"].is_undefined_length = not plain
    film["PixelData"].VR = "OW" if plain else "OB"
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = syntax
    return film


# -- syntaxes -------------------------------------------------------------------------------------


def _plain(data: bytes, shape: tuple[int, int]) -> NDArray[np.generic]:
    return np.frombuffer(data, "<u2").reshape(shape)


def _in_rle(values: Values) -> bytes:
    """Two segments, of the high and the low bytes; runs end with their row (PS3.5 G.3.1)."""
    planes = values.astype(">u2").view(np.uint8).reshape(*values.shape, 2)
    segments = []
    for plane in (planes[..., 0], planes[..., 1]):
        rows = [imagecodecs.packbits_encode(np.ascontiguousarray(row)) for row in plane]
        packed = b"".join(rows)
        segments.append(packed + bytes(len(packed) % 2))
    starts = (64, 64 + len(segments[0]))
    return struct.pack("<16I", 2, *starts, *(0,) * 13) + b"".join(segments)


def _from_rle(data: bytes, shape: tuple[int, int]) -> NDArray[np.generic]:
    _, first, second = struct.unpack("<3I", data[:12])
    count = shape[0] * shape[1]
    scratch, values = np.empty(count + 15, np.uint8), np.empty(count, np.uint16)
    values[:] = imagecodecs.packbits_decode(data[first:second], out=scratch)[:count]
    values <<= 8
    values |= imagecodecs.packbits_decode(data[second:], out=scratch)[:count]
    return values.reshape(shape)


def _in_jpeg(values: Values) -> bytes:
    encoded = imagecodecs.jpeg8_encode(values, lossless=True, predictor=1, bitspersample=12)
    return encoded + bytes(len(encoded) % 2)


def _in_jpeg_ls(values: Values) -> bytes:
    encoded = imagecodecs.jpegls_encode(values)
    return encoded + bytes(len(encoded) % 2)


def _in_jpeg_2000(values: Values) -> bytes:
    encoded = imagecodecs.jpeg2k_encode(
        values, codecformat="j2k", reversible=True, level=0, bitspersample=12
    )
    return encoded + bytes(len(encoded) % 2)


def _with(name: str) -> Decoder:
    decode: Callable[[bytes], NDArray[np.generic]] = getattr(imagecodecs, name)
    return lambda data, shape: decode(data)


def _with_pillow(data: bytes, shape: tuple[int, int]) -> NDArray[np.generic]:
    return np.asarray(Image.open(io.BytesIO(data)))


def _png(values: NDArray[np.generic]) -> bytes:
    encoded: bytes = imagecodecs.png_encode(values, 1)
    return encoded


_PNG = {"libpng": _with("png_decode"), "Pillow": _with_pillow}
SYNTAXES = {
    "uncompressed": Syntax(ExplicitVRLittleEndian, lambda v: v.tobytes(), {"NumPy": _plain}),
    "RLE": Syntax(RLELossless, _in_rle, {"imagecodecs": _from_rle}),
    "JPEG lossless": Syntax(
        JPEGLosslessSV1,
        _in_jpeg,
        {"libjpeg-turbo": _with("jpeg8_decode"), "liblj92": _with("ljpeg_decode")},
    ),
    "JPEG-LS": Syntax(JPEGLSLossless, _in_jpeg_ls, {"CharLS": _with("jpegls_decode")}),
    "JPEG 2000": Syntax(
        JPEG2000Lossless,
        _in_jpeg_2000,
        {"OpenJPEG": _with("jpeg2k_decode"), "OpenJPEG in Pillow": _with_pillow},
    ),
    "PNG, 8 bits": Syntax(None, lambda v: _png((v >> 4).astype(np.uint8)), _PNG),
    "PNG, 16 bits": Syntax(None, _png, _PNG),
}
