"""Patients are known in any script, whatever encoding the header or the file name is in."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from boneseg.radiograph.privacy import gives_away, public_path
from boneseg.radiograph.readings import (
    readings_of_name,
    readings_of_number,
    readings_of_person,
)
from tests.support import films

# A name, and the encodings in which it is met.
PEOPLE = {
    "Müller^Jürgen": ("utf-8", "latin-1", "cp437", "cp850"),
    "Dvořáková^Jiřina": ("utf-8", "cp1250", "iso8859_2", "cp852"),
    "Şahin^Gülşen": ("utf-8", "cp1254"),
    "Иванова^Мария": ("utf-8", "cp1251", "koi8_r", "iso8859_5", "cp866"),
    "Παπαδοπούλου^Ελένη": ("utf-8", "cp1253"),
    "כהן^שרה": ("utf-8", "cp1255"),
    "محمود^فاطمة": ("utf-8", "cp1256", "iso8859_6"),
    "สมชาย^ใจดี": ("utf-8", "cp874"),
    "山田^太郎": ("utf-8", "shift_jis", "euc_jp"),
    "やまだ^たろう": ("utf-8", "shift_jis", "euc_jp"),
    "王^小明": ("utf-8", "gb18030", "big5"),
    "陳^淑芬": ("utf-8", "big5"),
    "김^민수": ("utf-8", "euc_kr"),
}
WRITTEN = [(person, encoding) for person, all_of_it in PEOPLE.items() for encoding in all_of_it]
HARMLESS = (
    *("knee.dcm", "ap.dcm", "AP_1.dcm", "base.dcm", "ace.dcm", "iii.dcm", "left_0042.dcm"),
    *("aeae.dcm", "膝_側面.dcm", "колено.dcm", "genou_côté.dcm", "무릎.dcm"),
)


def stem_of(person: str) -> str:
    return person.replace("^", "_")


def film_of(path: Path, person: bytes, charset: str | None = None) -> Path:
    """A film whose header has these bytes as the name of its patient."""
    mark = "Q" * len(person)
    films.dicom(path, films.bone(), PatientName=mark, SpecificCharacterSet=charset or "")
    data = path.read_bytes()
    assert data.count(mark.encode()) == 1
    path.write_bytes(data.replace(mark.encode(), person))
    return path


@pytest.mark.parametrize(("person", "encoding"), WRITTEN)
def test_a_name_of_a_file_is_read_in_the_encoding_of_its_system(tmp_path, person, encoding):
    film = film_of(tmp_path / "a.dcm", person.encode(), "ISO_IR 192")
    name = stem_of(person).encode(encoding) + b"_knee.dcm"
    assert gives_away(os.fsdecode(name), film)
    assert gives_away(os.fsdecode("Röntgen/".encode() + name), film)
    assert not any(gives_away(harmless, film) for harmless in HARMLESS)


@pytest.mark.parametrize(("person", "encoding"), WRITTEN)
@pytest.mark.parametrize("charset", [None, "ISO_IR 100", "ISO_IR 192"])
def test_a_header_is_read_in_its_encoding_whatever_it_declares(tmp_path, person, encoding, charset):
    film = film_of(tmp_path / "a.dcm", person.encode(encoding), charset)
    for other in PEOPLE[person]:
        name = (stem_of(person) + ".dcm").encode(other)
        assert gives_away(os.fsdecode(name), film), other
    assert not any(gives_away(harmless, film) for harmless in HARMLESS)


@pytest.mark.parametrize("charset", [None, "ISO_IR 192"])
def test_a_header_that_changes_its_encoding_without_saying_so_is_read(tmp_path, charset):
    film = film_of(tmp_path / "a.dcm", "Yamada=山田^太郎".encode("iso2022_jp"), charset)
    assert gives_away("山田.dcm", film) and not gives_away("山.dcm", film)


@pytest.mark.parametrize("encoding", ["cp437", "cp850", "cp866", "shift_jis"])
def test_a_name_is_known_that_was_unpacked_in_the_wrong_encoding(tmp_path, encoding):
    """Zip archives of old systems name no encoding; Python then takes cp437."""
    person = {"cp866": "Иванова^Мария", "shift_jis": "山田^太郎"}.get(encoding, "Müller^Jürgen")
    film = film_of(tmp_path / "a.dcm", person.encode(), "ISO_IR 192")
    packed, stem = io.BytesIO(), stem_of(person).encode(encoding)
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("Q" * len(stem), b"")
    listed = io.BytesIO(packed.getvalue().replace(b"Q" * len(stem), stem))
    (name,) = zipfile.ZipFile(listed).namelist()
    assert gives_away(name, film)


def test_a_name_in_a_url_is_known(tmp_path):
    film = film_of(tmp_path / "a.dcm", "Müller^Jürgen".encode(), "ISO_IR 192")
    assert gives_away("https://host/films/M%C3%BCller.dcm", film)
    assert gives_away("https://host/films/M%FCller.dcm", film)
    assert not gives_away("https://host/films/knee%20left.dcm", film)
    odd = film_of(tmp_path / "b.dcm", b"Dee^Jane")
    assert gives_away("x_%Dee.dcm", odd)  # no URL


def test_a_number_with_letters_is_known(tmp_path):
    film = films.dicom(tmp_path / "a.dcm", films.bone(), PatientID="QQQQQQ0042")
    film.write_bytes(film.read_bytes().replace(b"QQQQQQ", "患者".encode()))
    assert gives_away("患者-0042.dcm", film)
    assert gives_away(os.fsdecode("患者0042.dcm".encode("shift_jis")), film)
    assert not gives_away("患者-0043.dcm", film) and not gives_away("0042.dcm", film)


@pytest.mark.parametrize("person", ["Ace^Aki", "Li^Bo", "Ae", "Iii"])
def test_the_name_of_a_film_in_another_script_is_not_taken_for_a_short_one(tmp_path, person):
    film = film_of(tmp_path / "a.dcm", person.encode())
    for name in ("膝関節", "左手正面", "колено", "무릎", "髋关节", "genoù_éçéàî"):
        for encoding in ("utf-8", "shift_jis", "gb18030", "euc_kr", "cp1251", "cp1252"):
            data = name.encode(encoding, "ignore")
            assert not gives_away(os.fsdecode(data + b".dcm"), film), (name, encoding)


def test_ascii_is_not_read_again():
    assert readings_of_name("films/Doe_Jane.dcm") == set()
    assert readings_of_person(b"Doe^Jane") == readings_of_number(b"0042") == set()


def test_what_cannot_be_a_file_name_has_readings():
    """A lone surrogate that stands for no byte."""
    assert readings_of_name("\ud800.dcm") == set()


def test_an_escape_sequence_is_no_part_of_a_name():
    data = "김".encode("euc_kr")
    assert any("=김^" in text for text in readings_of_person(b"Kim=\x1b$)C" + data + b"^"))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode there")
def test_no_output_is_named_by_a_patient_in_another_encoding(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    film = film_of(tmp_path / "a.dcm", "Müller^Hans".encode(), "ISO_IR 192")
    film.rename(folder / os.fsdecode("Müller.dcm".encode("latin-1")))
    words = [sys.executable, "-c", "from boneseg.cli import main; main()", "segment", "films"]
    words += ["--out", "out", "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=300, check=True)
    text = done.stdout + done.stderr + (tmp_path / "out" / "segment.json").read_bytes()
    text += b"".join(os.fsencode(path.name) for path in (tmp_path / "out").iterdir())
    assert b"film-" in text and b"ller." not in text and b"ller_" not in text


# -- damaged films --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


def nested_film(path: Path, person: bytes, *, undefined: bool) -> bytes:
    """A film with sequences behind its patient, and others before its pixels."""
    former, changed, step = Dataset(), Dataset(), Dataset()
    former.PatientID, former.AccessionNumber = "OLD-31337", "RX-2291"
    changed.ModifiedAttributesSequence = [former]
    step.RequestedProcedureID = "RP-1"
    more = {"OtherPatientIDsSequence": [former], "OriginalAttributesSequence": [changed]}
    film_of(path, person)
    dataset = dcmread(path)
    for keyword, items in {**more, "RequestAttributesSequence": [step]}.items():
        setattr(dataset, keyword, items)
        dataset[keyword].is_undefined_length = undefined
        dataset[keyword].value[0].is_undefined_length_sequence_item = undefined
    dataset.save_as(path)
    return path.read_bytes()


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("stem", ["Doe_Jane", "OLD31337", "RX2291", "Unknown"])
def test_a_truncated_film_is_not_named_wherever_it_ends(folder, stem, undefined):
    """The name of a film may be a number that has been cut off."""
    path = folder / f"{stem}.dcm"
    whole = nested_film(path, b"Doe^Jane", undefined=undefined)
    assert (public_path(path) == path) == (stem == "Unknown")
    for end in range(132, whole.index(b"\xe0\x7f\x10\0")):
        path.write_bytes(whole[:end])
        told = public_path(path).name
        is_past = end > whole.index(b"RP-1") and stem == "Unknown"  # what is about the patient
        assert told.startswith("film-") or is_past, end
    path.write_bytes(whole[:-100])
    assert (public_path(path) == path) == (stem == "Unknown")


@pytest.mark.parametrize("undefined", [False, True])
def test_a_film_without_the_mark_that_is_truncated_is_not_named(folder, undefined):
    path = folder / "Doe_Jane.dcm"
    whole = nested_film(path, b"Doe^Jane", undefined=undefined)
    start = whole.index(b"\x08\0\x05\0CS")
    for end in range(start + 8, whole.index(b"\xe0\x7f\x10\0"), 3):
        path.write_bytes(whole[start:end])
        assert public_path(path).name.startswith("film-"), end


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    written=st.sampled_from(WRITTEN),
    undefined=st.booleans(),
    end=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=3),
    data=st.data(),
)
def test_no_damage_behind_the_name_brings_it_to_light(
    folder, written, undefined, end, damage, data
):
    person, encoding = written
    name = stem_of(person).encode(data.draw(st.sampled_from(PEOPLE[person])))
    path = folder / "film.dcm"
    content = nested_film(path, person.encode(encoding), undefined=undefined)
    behind = content.index(b"LO", content.index(person.encode(encoding)))
    header = content.index(b"\xe0\x7f\x10\0") - behind
    damaged = bytearray(content[: behind + int(end * (header + 50))])
    for place, noise in damage:
        at = behind + int(place * header)
        damaged[at : at + len(noise)] = noise
    path.write_bytes(damaged)
    assert gives_away(os.fsdecode(name + b".dcm"), path)
