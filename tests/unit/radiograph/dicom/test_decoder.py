"""Compressed frames that are damaged, hostile or of another size; the other films are done."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from boneseg.errors import OutputError, RadiographError
from boneseg.radiograph.dicom import decoder
from boneseg.radiograph.dicom import pixels as pixel_data
from boneseg.radiograph.film import Radiograph
from boneseg.radiograph.read import read_radiograph
from tests.support import films
from tests.support.codestreams import change, frame_of, pack
from tests.support.films import COMPRESSED

ANSWERED = "; export it again"  # what each error of a film says


@pytest.fixture(params=COMPRESSED, ids=lambda syntax: syntax.name)
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return pack(tmp_path / "a.dcm", request.param)


@pytest.fixture
def film(tmp_path: Path) -> Iterator[Path]:
    """A film, and one child alone, which has read it."""
    decoder._children.end_all()
    path = pack(tmp_path / "a.dcm")
    read_radiograph(path)
    yield path
    decoder._children.end_all()


@pytest.mark.parametrize(
    "syntax, plugin",
    [
        *((syntax, "gdcm") for syntax in (JPEGBaseline8Bit, JPEGLossless, JPEGLosslessSV1)),
        *((syntax, "gdcm") for syntax in (JPEGLSLossless, JPEGLSNearLossless)),
        *((syntax, "pylibjpeg") for syntax in (JPEG2000Lossless, JPEG2000)),
        *((JPEGLSLossless, "pyjpegls"), (RLELossless, "pydicom")),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_values_are_those_of_another_decoder_bit_for_bit(tmp_path, syntax, plugin):
    twelve = films.bone()  # of even sides: encoders of GDCM abort on others
    kinds = [(twelve >> 4).astype(np.uint8)]
    if syntax != JPEGBaseline8Bit:
        kinds += [twelve, films.bone(top=65535)]
    if syntax in (JPEGLSLossless, JPEG2000Lossless):  # the others' encoders refuse signs
        kinds += [twelve.astype(np.int16) - 2048]
    for pixels in kinds:
        dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", pixels, syntax))
        theirs = pixel_array(dataset, decoding_plugin=plugin)
        ours = pixel_data.decode(dataset, 0, tmp_path)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg_by_every_predictor(tmp_path, predictor, bits):
    pixels = films.bone(51, 67, top=2**bits - 1).astype(np.uint8 if bits == 8 else np.uint16)
    frame = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits)
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", pixels))
    dataset.file_meta.TransferSyntaxUID = JPEGLossless
    dataset.PixelData = encapsulate([frame])
    np.testing.assert_array_equal(pixel_data.decode(dataset, 0, tmp_path), pixels)


def test_high_throughput_jpeg_2000(tmp_path):
    """Encoded by OpenJPH, decoded by OpenJPEG."""
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", films.bone()))
    dataset.PixelData = encapsulate([imagecodecs.htj2k_encode(films.bone(), reversible=True)])
    for syntax in (HTJ2KLossless, HTJ2K):
        dataset.file_meta.TransferSyntaxUID = syntax
        np.testing.assert_array_equal(pixel_data.decode(dataset, 0, tmp_path), films.bone())


def test_progressive_jpeg_which_the_standard_has_retired(tmp_path):
    pixels, file = films.bone(top=255).astype(np.uint8), io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", progressive=True, quality=90)
    dataset = pydicom.dcmread(films.dicom(tmp_path / "a.dcm", pixels))
    dataset.PixelData = encapsulate([file.getvalue()])
    for process in ("53", "55"):
        dataset.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{process}"
        found = pixel_data.decode(dataset, 0, tmp_path)
        np.testing.assert_array_equal(found, np.asarray(Image.open(file)))


def test_a_progressive_jpeg_of_thousands_of_scans_is_refused(tmp_path):
    pixels, file = np.zeros((1000, 1000), np.uint8), io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", progressive=True)
    frame = file.getvalue()
    last = frame[frame.rindex(b"\xff\xda") : -2]
    path = films.dicom(tmp_path / "a.dcm", pixels, JPEGBaseline8Bit)
    assert read_radiograph(change(path, frame[:-2] + 20 * last + b"\xff\xd9")).pixels.max() == 0
    with pytest.raises(RadiographError, match="has too many scans"):
        read_radiograph(change(path, frame[:-2] + 3000 * last + b"\xff\xd9"))


@pytest.mark.parametrize("sizes", [(40, 64), (56, 64), (48, 56), (48, 72), (64, 48)], ids=str)
def test_a_frame_of_another_size_than_the_header_s_is_refused(packed, sizes):
    change(packed, Rows=sizes[0], Columns=sizes[1])
    if sizes == (64, 48) and "RLE" in pydicom.dcmread(packed).file_meta.TransferSyntaxUID.name:
        pytest.skip("an RLE frame says nothing of its rows")
    with pytest.raises(RadiographError, match="header says") as caught:
        read_radiograph(packed)
    assert ANSWERED in str(caught.value)


def test_more_samples_or_bits_than_the_header_s_are_refused(tmp_path):
    colour = np.stack([films.bone(top=255).astype(np.uint8)] * 3, axis=-1)
    for syntax in (JPEG2000Lossless, JPEGLSLossless, RLELossless):
        path = films.dicom(tmp_path / "a.dcm", colour, syntax)
        change(path, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2")
        with pytest.raises(RadiographError, match=r"3 (samples|bytes) per pixel, but the header"):
            read_radiograph(path)
    for syntax in (JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1, RLELossless):
        path = change(pack(tmp_path / "b.dcm", syntax), BitsAllocated=8, BitsStored=8, HighBit=7)
        with pytest.raises(RadiographError, match="but the header says"):
            read_radiograph(path)


@pytest.mark.parametrize("kept", [0.001, 0.02, 0.5, 0.98], ids="{:.0%}".format)
def test_a_frame_cut_short_is_refused(packed, kept):
    frame = frame_of(packed).rstrip(b"\0")
    change(packed, frame[: max(2, int(kept * len(frame)))])
    with pytest.raises(RadiographError) as caught:
        read_radiograph(packed)
    assert ANSWERED in str(caught.value)


@pytest.mark.parametrize("padding", [b"\0", b"\xff", b"\xff\xff", b"\0" * 20], ids=bytes.hex)
def test_padding_after_a_frame_is_ignored(packed, padding):
    pixels, frame = read_radiograph(packed).pixels, frame_of(packed)
    if "JPEG" in pydicom.dcmread(packed).file_meta.TransferSyntaxUID.name:
        frame = frame[: frame.rindex(b"\xff\xd9") + 2]
    elif b"\xff" in padding:
        pytest.skip("0xFF is a run in RLE")
    change(packed, frame + padding)
    np.testing.assert_array_equal(read_radiograph(packed).pixels, pixels)


def test_damaged_frames_give_one_line_or_a_film(packed):
    """Whatever a decoder makes of them: bytes changed, cut out, doubled."""
    rng = np.random.default_rng(23)
    frame = frame_of(packed)
    whole = packed.read_bytes()
    place = whole.index(frame[:64])
    for _ in range(40):
        damaged = bytearray(frame)
        for at in rng.integers(0, min(len(frame), rng.choice([40, 400, len(frame)])), 3):
            damaged[at] = rng.integers(256)
        packed.write_bytes(whole[:place] + damaged + whole[place + len(frame) :])
        try:
            assert read_radiograph(packed).pixels.shape == (48, 64)
        except RadiographError as error:
            assert ANSWERED in str(error)


@pytest.mark.parametrize(
    "table",
    [[2**32 - 1], [0, 8, 4], list(range(1000)), [2**31] * 5],
    ids=lambda table: f"{len(table)} offsets",
)
def test_absurd_offset_tables_are_refused_or_ignored(tmp_path, table):
    path = pack(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    offsets = np.array(table, "<u4").tobytes()
    item = b"\xfe\xff\x00\xe0" + len(offsets).to_bytes(4, "little") + offsets
    dataset.PixelData = item + dataset.PixelData[dataset.PixelData.index(b"\xfe\xff\x00\xe0", 4) :]
    dataset.save_as(path)
    try:
        assert read_radiograph(path, frame=1).pixels.shape == (48, 64)
    except RadiographError as error:
        assert ANSWERED in str(error)


def test_a_film_beyond_the_budget_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    path = pack(tmp_path / "a.dcm")
    monkeypatch.setattr(pixel_data, "FRAME_BYTES", 48 * 64 * 2 - 1)
    with pytest.raises(RadiographError, match="more than 0 MB uncompressed"):
        read_radiograph(path)


# -- children that are lost -----------------------------------------------------------------------


def test_a_killed_child_affects_only_its_film(film):
    pixels = read_radiograph(film).pixels
    (child,) = decoder._children.idle
    os.kill(child.pid, signal.SIGSTOP)  # it will be at its film when it is killed
    threading.Timer(0.3, os.kill, (child.pid, signal.SIGKILL)).start()
    ended = r"a\.dcm: its image .*ended the process that read it \(SIGKILL"
    with pytest.raises(RadiographError, match=ended):
        read_radiograph(film)
    np.testing.assert_array_equal(read_radiograph(film).pixels, pixels)


def test_one_killed_between_two_films_costs_none(film):
    (child,) = decoder._children.idle
    os.kill(child.pid, signal.SIGKILL)
    child._process.wait(10)
    assert isinstance(read_radiograph(film), Radiograph)
    assert decoder._children.idle[0].pid != child.pid


def test_a_system_without_room_for_a_child_is_not_the_fault_of_the_film(film, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    decoder._children.end_all()
    monkeypatch.setattr("boneseg._util.children.Disposable", full)
    with pytest.raises(OutputError, match=r"has no decoder: Too many open files; close other .*$"):
        read_radiograph(film)


def test_one_that_hangs_is_replaced(film, monkeypatch):
    (child,) = decoder._children.idle
    os.kill(child.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)  # until it has stopped
    with monkeypatch.context() as shortened:
        shortened.setattr(pixel_data, "_SECONDS", 0.1)
        with pytest.raises(RadiographError, match=r"a\.dcm: its image takes more than 0\.1 s"):
            read_radiograph(film)
    assert not child.is_alive()
    assert isinstance(read_radiograph(film), Radiograph)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is a limit on Linux alone")
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLosslessSV1], ids=lambda uid: uid.name)
def test_one_that_wants_more_memory_than_it_may_have(tmp_path, monkeypatch, syntax):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 4096, (1500, 1500), np.uint16)
    path = films.dicom(tmp_path / "a.dcm", pixels, syntax)
    with monkeypatch.context() as shortened:
        shortened.setattr(decoder, "_OVERHEAD", 0)
        shortened.setattr(decoder, "_WORKING", 0)
        with pytest.raises(RadiographError, match=r"a\.dcm: its image") as caught:
            read_radiograph(path)
    assert ANSWERED in str(caught.value)
    assert read_radiograph(path).pixels.shape == pixels.shape


def test_threads_have_children_of_their_own(tmp_path):
    paths = [pack(tmp_path / f"{syntax}.dcm", syntax) for syntax in COMPRESSED]
    alone = [read_radiograph(path).pixels for path in paths]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda path: read_radiograph(path).pixels, paths * 4))
    for one, other in zip(alone * 4, together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(decoder._children.idle) <= 4
    decoder._children.end_all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_a_forked_process_has_children_of_its_own(film):
    """A daemonic one, which may have none by multiprocessing."""
    before = read_radiograph(film).pixels
    (child,) = decoder._children.idle
    ours, theirs = get_context("fork").Pipe()
    process = get_context("fork").Process(target=_read, args=(film, theirs), daemon=True)
    process.start()
    assert ours.poll(60)
    pid, pixels = ours.recv()
    process.join(10)
    assert pid != child.pid
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(read_radiograph(film).pixels, before)
    assert decoder._children.idle == [child]


def _read(path: Path, pipe) -> None:
    pixels = read_radiograph(path).pixels
    pipe.send((decoder._children.idle[0].pid, pixels))


def test_a_folder_with_damaged_films_on_the_command_line(tmp_path):
    """Each named, the others done, status 1, no child left."""
    folder = tmp_path / "films"
    folder.mkdir()
    Image.fromarray(films.bone(top=255).astype(np.uint8)).save(folder / "good.png")
    pack(folder / "fine.dcm", JPEGLSLossless)
    change(pack(folder / "cut.dcm"), frame_of(folder / "fine.dcm")[:50])
    change(pack(folder / "box.dcm"), b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\0ftyp")
    change(pack(folder / "large.dcm", JPEGLSLossless), Rows=32)
    call = [sys.executable, "-m", "boneseg", "segment", str(folder), "--out", str(tmp_path / "o")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    results = json.loads((tmp_path / "o" / "segment.json").read_text())
    errors = {Path(one["input"]).name for one in results if one["error"]}
    assert errors == {"box.dcm", "cut.dcm", "large.dcm"}
    assert all(name in done.stderr for name in errors)
    assert len([one for one in results if one["outputs"]]) == 2
