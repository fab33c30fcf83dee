"""A PNG whose data end early is refused; Pillow would leave its other rows black."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from boneseg.errors import MaskError, RadiographError
from boneseg.masks.read import read_mask
from boneseg.radiograph import png as module
from boneseg.radiograph.png import _chunks, _inflated, _parts, _size, check_rows
from boneseg.radiograph.read import read_radiograph

DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def rows_of(width: int, height: int, bits: int, *, interlaced: bool) -> list[int]:
    """The number of bytes of each row in the data, with its filter type."""
    passes = (*ADAM7, (0, 1, 1, 2)) if interlaced else ((0, 0, 1, 1),)
    lengths = []
    for left, top, across, down in passes:
        columns, rows = len(range(left, width, across)), len(range(top, height, down))
        lengths += [1 + (columns * bits + 7) // 8] * (rows if columns else 0)
    return lengths


def png(
    path: Path, width: int, height: int, colour: int, depth: int, missing: int, *, interlaced: bool
) -> Path:
    """A white PNG without its last `missing` rows; the data end cleanly."""
    lengths = rows_of(width, height, depth * CHANNELS[colour], interlaced=interlaced)
    kept = lengths[: len(lengths) - missing]
    data = zlib.compress(b"".join(b"\0" + b"\xff" * (length - 1) for length in kept))
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    chunks = [(b"IHDR", head), (b"PLTE", b"\0\0\0" + b"\xff\xff\xff" * 255)]
    chunks += [(b"IDAT", data[at : at + 50]) for at in range(0, len(data), 50)] + [(b"IEND", b"")]
    if colour != 3:
        del chunks[1]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks))
    return path


@given(st.data())
@settings(max_examples=75)
def test_every_kind_of_png_with_missing_rows_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    width, height = data.draw(st.integers(2, 40)), data.draw(st.integers(2, 40))
    colour = data.draw(st.sampled_from(sorted(CHANNELS)))
    depth = data.draw(st.sampled_from(DEPTHS[colour]))
    interlaced = data.draw(st.booleans())
    rows = len(rows_of(width, height, depth * CHANNELS[colour], interlaced=interlaced))
    missing = data.draw(st.integers(0, rows))
    path = tmp_path_factory.mktemp("png") / "film.png"
    png(path, width, height, colour, depth, missing, interlaced=interlaced)
    with Image.open(path) as image:
        try:
            image.load()
        except OSError:  # Pillow sees it itself
            assert missing
            return
        if missing:
            with pytest.raises(EOFError):
                check_rows(image, path)
        else:
            check_rows(image, path)


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_film_and_a_mask_with_missing_rows_are_refused_in_one_line(
    tmp_path: Path, interlaced: bool
) -> None:
    path = png(tmp_path / "knee.png", 40, 50, 0, 8, 20, interlaced=interlaced)
    with pytest.raises(RadiographError, match=r"knee.png: is damaged or truncated; copy it again"):
        read_radiograph(path)
    with pytest.raises(MaskError, match=r"knee.png: cannot be read as an image; save it as PNG"):
        read_mask(path)


def test_black_rows_in_the_file_are_valid(tmp_path: Path) -> None:
    values = np.zeros((50, 40), np.uint8)
    values[:20] = 255
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), values > 0)
    assert not read_radiograph(tmp_path / "mask.png").pixels[20:].any()


@pytest.mark.parametrize("size", [0, 1, 99_999, 100_000, 100_001])
@pytest.mark.parametrize("parts", [1, 7, 1000])
def test_data_are_counted_up_to_what_is_needed(size: int, parts: int) -> None:
    data = zlib.compress(np.random.default_rng(0).bytes(size))
    pieces = [data[at : at + parts] for at in range(0, len(data), parts)]
    for whole in (pieces, [*pieces, b"behind the end"]):
        assert _inflated(iter(whole), 10**9) == size
        assert (_inflated(iter(whole), 100_000) >= 100_000) == (size >= 100_000)
    assert _inflated(iter(pieces[: len(pieces) // 2]), 10**9) <= size


@pytest.mark.parametrize(
    ("size", "depth", "colour", "interlaced", "length"),
    [
        ((9, 5), 8, 0, 0, 5 * 10),
        ((9, 5), 1, 0, 0, 5 * 3),
        ((8, 5), 1, 3, 0, 5 * 2),
        ((9, 5), 16, 2, 0, 5 * 55),
        ((9, 5), 8, 4, 0, 5 * 19),
        ((9, 5), 16, 6, 0, 5 * 73),
        ((1, 1), 8, 0, 1, 2),
        ((9, 5), 8, 0, 1, 3 + 2 + 4 + 2 * 3 + 6 + 3 * 5 + 2 * 10),
        ((0, 5), 8, 0, 0, 0),
    ],
)
def test_every_row_has_a_byte_for_its_filter(
    size: tuple[int, int], depth: int, colour: int, interlaced: int, length: int
) -> None:
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    assert _size(header + b"more") == length


def test_the_chunks_of_a_file_are_walked_over_up_to_its_end() -> None:
    content = chunk(b"IHDR", b"head") + chunk(b"IDAT", b"") + chunk(b"tEXt", b"words")
    expected = [(b"IHDR", 4), (b"IDAT", 0), (b"tEXt", 5)]
    assert list(_chunks(io.BytesIO(content))) == expected
    assert list(_chunks(io.BytesIO(content + b"1234567"))) == expected
    file = io.BytesIO(content)
    assert [file.read(length) for _, length in _chunks(file)] == [b"head", b"", b"words"]


def test_the_data_of_a_png_are_those_of_one_kind_of_chunk() -> None:
    chunks = [(b"IHDR", b"head"), (b"PLTE", b"no"), (b"IDAT", b"a"), (b"tEXt", b"no")]
    chunks += [(b"IDAT", b"b"), (b"fdAT", b"no"), (b"IEND", b"")]
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks))
    header, data = _parts(file)
    assert (header, list(data)) == (b"head", [b"a", b"b"])


@pytest.mark.parametrize(
    ("black", "counted"),
    [((), False), ((49,), True), ((48,), True), ((47,), False), ((0, 47), False), ((48, 49), True)],
)
def test_data_are_counted_only_where_one_of_the_last_two_rows_is_black(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, black: tuple[int, ...], counted: bool
) -> None:
    values = np.full((50, 40), 7, np.uint8)
    values[list(black)] = 0
    path = tmp_path / "film.png"
    Image.fromarray(values).save(path)
    found: list[int] = []
    monkeypatch.setattr(module, "_inflated", lambda data, most: found.append(most) or most)
    with Image.open(path) as image:
        check_rows(image, path)
    assert found == ([50 * 41] if counted else [])


def test_a_missing_row_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "film.png"
    Image.fromarray(np.zeros((50, 40), np.uint8)).save(path)
    monkeypatch.setattr(module, "_inflated", lambda data, most: most - 1)
    with Image.open(path) as image, pytest.raises(EOFError, match=r"^the data end before the last"):
        check_rows(image, path)


def test_other_formats_and_later_frames_are_not_counted(tmp_path: Path) -> None:
    """A frame may be smaller than the picture."""
    Image.new("L", (20, 20)).save(tmp_path / "film.bmp")
    frames = [Image.new("L", (20, 20), level) for level in (9, 0)]
    frames[0].save(tmp_path / "film.png", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "film.bmp") as image:
        check_rows(image, tmp_path / "none")
    with Image.open(tmp_path / "film.png") as image:
        image.seek(1)
        check_rows(image, tmp_path / "none")
        image.seek(0)
        check_rows(image, tmp_path / "none")


def test_a_picture_of_one_row_is_counted(tmp_path: Path) -> None:
    for missing in (0, 1):
        path = png(tmp_path / "film.png", 40, 1, 0, 8, missing, interlaced=False)
        image = Image.new("L", (40, 1))  # as Pillow leaves a row that is missing
        image.format = "PNG"
        if missing:
            with pytest.raises(EOFError):
                check_rows(image, path)
        else:
            check_rows(image, path)
