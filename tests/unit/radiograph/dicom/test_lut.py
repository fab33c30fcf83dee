"""Look-up tables, however their descriptor and their values are written."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from boneseg.radiograph.dicom.lut import (
    LookupTable,
    first_table,
    lookup_table,
    palette_colours,
)
from tests.support import films
from tests.support.films import FULL
from tests.support.stored_values import BONE, SQUARE, looked_up, pixels

# --- tables ---


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("packed", [None, "<u2"])
@pytest.mark.parametrize("lacking", [1, 2, 100])
def test_a_table_shorter_than_its_descriptor_is_as_long_as_it_is(
    tmp_path, sequence, packed, lacking
):
    item = films.table(SQUARE[:-lacking], bits=12, packed=packed)
    item[0].LUTDescriptor = [4096, 0, 12]
    more = FULL if sequence == "ModalityLUTSequence" else {}
    found = pixels(tmp_path, **{sequence: item}, **more)
    np.testing.assert_allclose(found, looked_up(SQUARE[:-lacking]), atol=1e-6)


@pytest.mark.parametrize("packed", [None, "<u2"])
def test_a_table_longer_than_its_descriptor_is_cut(tmp_path, packed):
    item = films.table([*SQUARE[:4000], *[0] * 96], bits=12, packed=packed)
    item[0].LUTDescriptor = [4000, 0, 12]
    found = pixels(tmp_path, VOILUTSequence=item)
    np.testing.assert_allclose(found, looked_up(SQUARE[:4000]), atol=1e-6)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("vr", ["OW", "US"])
@pytest.mark.parametrize("count", [255, 256])
def test_bytes_that_share_words_are_taken_apart(tmp_path, syntax, vr, count):
    """PS3.3 C.11.1.1.1: 8 bits allocated; the first entry is the low byte of a word."""
    entries = [round(255 * (k / 255) ** 2) for k in range(count)]
    padded = entries + [0] * (count % 2)
    words = [low | high << 8 for low, high in zip(padded[::2], padded[1::2], strict=True)]
    order = "<" if syntax == ExplicitVRLittleEndian else ">"
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [count, 0, 8])
    item.add_new("LUTData", vr, words if vr == "US" else np.array(words, f"{order}u2").tobytes())
    stored = films.bone(top=255)
    found = pixels(tmp_path, stored, syntax, VOILUTSequence=[item])
    np.testing.assert_allclose(found, looked_up(entries, stored, top=255), atol=1e-6)


@pytest.mark.parametrize("count", [200, 256, 300])
def test_bytes_of_a_word_each_stay_so_whatever_the_count(tmp_path, count):
    entries = [round(255 * (k / 255) ** 2) for k in range(256)]
    item = films.table(entries, bits=8, packed="<u2")
    item[0].LUTDescriptor = [count, 0, 8]
    stored = films.bone(top=255)
    found = pixels(tmp_path, stored, VOILUTSequence=item)
    np.testing.assert_allclose(found, looked_up(entries[:count], stored, top=255), atol=1e-6)


@pytest.mark.parametrize("first", [-2048, 63488])
@pytest.mark.parametrize("packed", [None, "<u2"])
def test_the_first_value_mapped_has_the_sign_of_the_pixels(tmp_path, first, packed):
    """US 63,488 and SS -2,048 are the same sixteen bits."""
    stored = films.bone().astype(np.int16) - 2048
    item = films.table(SQUARE, bits=12, packed=packed)
    item[0].add_new("LUTDescriptor", "US" if first > 0 else "SS", [4096, first, 12])
    found = pixels(tmp_path, stored, BitsStored=12, VOILUTSequence=item)
    np.testing.assert_allclose(found, looked_up(SQUARE), atol=1e-6)


def test_the_first_value_mapped_of_pixels_without_a_sign_has_none(tmp_path):
    stored = films.bone() + np.uint16(50_000)
    item = films.table(SQUARE, bits=12, packed="<u2")
    item[0].add_new("LUTDescriptor", "SS", [4096, 50_000 - 65_536, 12])
    found = pixels(tmp_path, stored, VOILUTSequence=item)
    np.testing.assert_allclose(found, looked_up(SQUARE), atol=1e-6)


@pytest.mark.parametrize("packed", [None, "<u2"])
def test_a_count_of_zero_is_65536(tmp_path, packed):
    """C.11.1.1: the count is a US of 16 bits, and a table may have one entry more."""
    entries = [65535 - k for k in range(65536)]
    item = films.table(entries, packed=packed)
    assert item[0].LUTDescriptor[0] == 0
    stored = films.bone(top=65535)
    found = pixels(tmp_path, stored, VOILUTSequence=item)
    np.testing.assert_allclose(found, 1 - stored / 65535, atol=1e-6)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("vr", ["US", "SS", "OW", "UN"])
def test_a_table_is_read_whatever_its_representation(tmp_path, syntax, vr):
    entries = [16 * k for k in range(4096)]
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 16])
    data = np.array(entries, "<u2")
    item.add_new(
        "LUTData",
        vr,
        {"US": entries, "SS": data.view("<i2").tolist()}.get(vr, data.tobytes()),
    )
    found = pixels(tmp_path, None, syntax, VOILUTSequence=[item])
    np.testing.assert_allclose(found, looked_up(entries, top=65535), atol=1e-6)


def test_the_depth_in_the_descriptor_is_the_full_scale(tmp_path):
    """A table that ends at a quarter of 12 bits is a dark one; 16 bits are often claimed amiss."""
    quarter = [k // 4 for k in range(4096)]
    for bits, top in ((12, 4095), (13, 8191), (16, 1023)):
        found = pixels(tmp_path, VOILUTSequence=films.table(quarter, bits=bits))
        np.testing.assert_allclose(found, looked_up(quarter, top=top), atol=1e-6)


def broken(**elements):
    item = films.table(SQUARE, bits=12, packed="<u2")[0]
    for keyword, value in elements.items():
        del item[keyword]
        if value is not None:
            item.add_new(keyword, *value)
    return item


BROKEN = {
    "nothing": [],
    "an empty item": [Dataset()],
    "no data": [broken(LUTData=None)],
    "empty data": [broken(LUTData=("OW", b""))],
    "text": [broken(LUTData=("LO", "table"))],
    "no descriptor": [broken(LUTDescriptor=None)],
    "an empty descriptor": [broken(LUTDescriptor=("US", []))],
    "a short descriptor": [broken(LUTDescriptor=("US", [4096, 0]))],
    "a descriptor of text": [broken(LUTDescriptor=("LO", "many"))],
}


@pytest.mark.parametrize("sequence", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize("items", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_table_is_skipped_for_the_next_one(tmp_path, sequence, items):
    found = pixels(tmp_path, **{sequence: items}, **FULL)
    np.testing.assert_allclose(found, BONE, atol=1e-6)
    if items and sequence == "VOILUTSequence":
        both = [*items, *films.table(SQUARE, bits=12)]
        found = pixels(tmp_path, VOILUTSequence=both, **FULL)
        np.testing.assert_allclose(found, looked_up(SQUARE), atol=1e-6)
    if sequence == "ModalityLUTSequence":
        halved = {"RescaleSlope": 0.5, "RescaleIntercept": 0, sequence: items}
        found = pixels(tmp_path, WindowCenter=1024, WindowWidth=2048, **halved)
        np.testing.assert_allclose(found, np.clip(films.bone() / 2 / 2047, 0, 1), atol=1e-6)


# --- tables by themselves ---


@pytest.mark.parametrize(
    ("first", "values", "entries"),
    [
        (10, [9, 10, 11, 12, 13], [1, 1, 2, 3, 3]),
        (65534, [65533, 65534, 65535], [1, 1, 2]),
        (-2, [65533, 65534, 65535], [1, 1, 2]),  # of unsigned values
        (-2, [-3, -2, -1, 0, 1], [1, 1, 2, 3, 3]),
        (65534, [-3, -2, -1, 0, 1], [1, 1, 2, 3, 3]),  # of signed values
        (65534, [-1, 70_000], [2, 3]),
        (65534, [0, 1], [3, 3]),  # the whole table would be beyond these
        (32768, [0, 1, 32767], [1, 1, 1]),  # and here by either reading
        (-2, [1, 2], [1, 1]),
        (-2, [0, 1], [3, 3]),
        (10, [0.4, 10.6, 11.4, 12.5, 99.0], [1, 2, 2, 3, 3]),
    ],
)
def test_values_are_mapped_from_the_first_one_on(first, values, entries):
    table = LookupTable(np.array([1, 2, 3], np.uint16), first, 255)
    found = table.map(np.array([values]))
    assert found.dtype == np.uint16 and found.tolist() == [entries]


@pytest.mark.parametrize(
    ("descriptor", "data", "entries", "top"),
    [
        ([3, 0, 8], [1, 2, 3], [1, 2, 3], 255),
        ([2, 0, 8], [1, 2, 3], [1, 2], 255),
        ([5, 0, 8], [1, 2, 3], [1, 2, 3], 255),
        ([3, 0, 10], [1, 2, 1023], [1, 2, 1023], 1023),
        ([3, 0, 10], [1, 2, 1024], [1, 2, 1024], 4095),
        ([3, 0, 15], [1, 2, 3], [1, 2, 3], 32767),
        ([3, 0, 16], [1, 2, 3], [1, 2, 3], 255),
        ([3, 0, 16], [1, 2, 4096], [1, 2, 4096], 16383),
        ([3, 0, 7], [1, 2, 3], [1, 2, 3], 255),
        ([4, 0, 8], [0x0201, 0x0403], [1, 2, 3, 4], 255),  # bytes
        ([4, 0, 9], [0x0201, 0x0403], [0x0201, 0x0403], 4095),
        ([4, 0, 8], b"\1\2\3", [1, 2, 3, 0], 255),
        ([2, 0, 8], b"\1\0\3\0", [1, 3], 255),
        ([3, 0, 8], [], None, None),
        ([3, 0], [1, 2, 3], None, None),
        ([3, 0, 8], "words", None, None),
        ([3, 0, 8], None, None, None),
    ],
)
def test_a_table_is_read_by_its_descriptor(descriptor, data, entries, top):
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    vr = "OW" if isinstance(data, bytes) else "LT" if isinstance(data, str) else "US"
    item.add_new("LUTData", vr, data)
    table = lookup_table(item, Dataset())
    assert (table is None) == (entries is None)
    if table is not None:
        assert (table.entries.tolist(), table.first, table.top) == (entries, 0, top)
        assert table.entries.dtype == np.uint16


def test_a_count_of_0_is_65536():
    (item,) = films.table(list(range(65536)), bits=16)
    table = lookup_table(item, Dataset())
    assert table is not None and len(table.entries) == 65536 and table.top == 65535


# --- palettes by themselves ---

INDICES = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
BANDS = ("Red", "Green", "Blue", "Alpha")


def palette(tops: tuple[int, int, int] = (255, 255, 255), bits: int = 8) -> Dataset:
    """Tables of three entries: none, half and all of the full scale of each band."""
    dataset = Dataset()
    dataset.set_original_encoding(False, True)
    for band, top in zip(BANDS, tops, strict=False):
        dataset.add_new(f"{band}PaletteColorLookupTableDescriptor", "US", [3, 0, bits])
        dataset.add_new(f"{band}PaletteColorLookupTableData", "US", [0, top // 2, top])
    return dataset


def test_the_colours_of_a_palette_are_bytes_where_these_hold_them():
    colours = palette_colours(INDICES, palette((255, 100, 50)))
    assert colours is not None and colours.dtype == np.uint8
    assert colours[0].tolist() == [[0, 0, 0], [127, 50, 25], [255, 100, 50]]
    for tops in ((256, 0, 0), (0, 256, 0), (0, 0, 256)):
        colours = palette_colours(INDICES, palette(tops, bits=16))
        assert colours is not None and colours.dtype == np.uint16
        assert colours[1, 0].tolist() == list(tops)


@pytest.mark.parametrize("band", BANDS[:3])
def test_a_palette_needs_all_of_its_bands(band):
    dataset = palette()
    del dataset[f"{band}PaletteColorLookupTableData"]
    assert palette_colours(INDICES, dataset) is None


def segmented(bands: tuple[str, ...]) -> Dataset:
    """Bands in segments (C.7.9.2): discrete entries, of which each band has others."""
    dataset = Dataset()
    dataset.set_original_encoding(False, True)
    for number, band in enumerate(bands):
        entries = [0, 1000 + number, 65535 - number]
        words = np.array([0, 3, *entries], "<u2")  # opcode 0: discrete, of three entries
        dataset.add_new(f"{band}PaletteColorLookupTableDescriptor", "US", [3, 0, 16])
        dataset.add_new(f"Segmented{band}PaletteColorLookupTableData", "OW", words.tobytes())
    return dataset


@pytest.mark.parametrize("bands", [BANDS[:3], BANDS], ids=["RGB", "RGBA"])
def test_a_palette_in_segments_gives_its_three_colours(bands):
    """An opacity is no colour."""
    colours = palette_colours(INDICES, segmented(bands))
    assert colours is not None and colours.shape == (2, 3, 3)
    assert colours[0].tolist() == [[0, 0, 0], [1000, 1001, 1002], [65535, 65534, 65533]]


def test_segments_that_are_damaged_are_no_palette():
    dataset = segmented(BANDS[:3])
    dataset.SegmentedRedPaletteColorLookupTableData = b"\7\0\3\0"
    assert palette_colours(INDICES, dataset) is None
    assert palette_colours(INDICES, Dataset()) is None


def test_the_first_table_that_can_be_used_is_taken():
    empty, first, second = (films.table(entries, bits=8)[0] for entries in ([], [1, 2], [3, 4]))
    dataset = Dataset()
    assert first_table(dataset, "VOILUTSequence") is None
    dataset.VOILUTSequence = [empty, first, second]
    table = first_table(dataset, "VOILUTSequence")
    assert table is not None and table.entries.tolist() == [1, 2]
    assert first_table(dataset, "ModalityLUTSequence") is None


@pytest.mark.parametrize("little", [True, False])
def test_the_words_of_a_table_are_in_the_order_of_the_file(little):
    item, dataset = Dataset(), Dataset()
    dataset.set_original_encoding(False, little)
    item.add_new("LUTDescriptor", "US", [2, 0, 12])
    item.add_new("LUTData", "OW", np.array([1, 4000], "<u2" if little else ">u2").tobytes())
    table = lookup_table(item, dataset)
    assert table is not None and table.entries.tolist() == [1, 4000]


def test_a_large_film_is_mapped_row_by_row():
    values = np.arange(1500 * 1000, dtype=np.int64).reshape(1500, 1000) % 7
    table = LookupTable(np.arange(0, 70, 10, dtype=np.uint16), 0, 255)
    np.testing.assert_array_equal(table.map(values), 10 * values)
