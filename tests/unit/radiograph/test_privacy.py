"""The patient's identity stays out of all output."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_partial
from pydicom.tag import Tag

from boneseg.bundle.shipped import bundled
from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError, RadiographError, UsageError
from boneseg.evaluation.evaluate import evaluate_masks
from boneseg.masks.formats import FORMATS
from boneseg.radiograph.privacy import _found_in, gives_away, public_name, public_path
from boneseg.radiograph.read import read_radiograph
from tests.support import films

PERSON = {
    "PatientName": "Doe^Jörg Magnus^^Dr",
    "PatientID": "00471142",
    "PatientBirthDate": "19690720",
    "AccessionNumber": "RX-2291.7",
    "ReferringPhysicianName": "Strangelove",
}
TELLING = [
    "DOE_jorg.dcm",
    "JörgDoe-knee.dcm",
    "magnus.dcm",
    "471142.dcm",
    "knee-00471142-ap.dcm",
    "rx22917.dcm",
    "RX-2291.7 knee.dcm",
    "1969-07-20.dcm",
    "knee 20.07.1969.dcm",
    "20.7.1969.dcm",
    "690720.dcm",
    "strangelove1.dcm",
]
SILENT = ["knee.dcm", "1.2.840.10008.5.dcm", "left_0042.dcm", "1969.dcm"]


def test_names_that_identify_the_patient_become_a_hash_of_the_content(tmp_path):
    for name in TELLING + SILENT:
        path = films.dicom(
            tmp_path / name, films.bone(), SpecificCharacterSet="ISO_IR 192", **PERSON
        )
        inside = Path(name)  # tmp_path has the words of this test
        assert gives_away(str(inside), path) == (name in TELLING), name
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "doe").mkdir()
    moved = Path(shutil.copy(path, tmp_path / "doe" / "knee.dcm"))
    assert public_path(moved) == Path(f"film-{content[:12]}.dcm")
    assert public_path(moved, keep_names=True) == moved


@pytest.mark.parametrize(
    ("person", "telling", "silent"),
    [
        ("Müller^Jürgen", ["mueller.dcm", "MULLER.dcm", "juergen_x.dcm"], ["mull.dcm"]),
        ("Sørensen^Łukasz", ["soerensen", "Sorensen", "lukasz"], ["sor"]),
        ("Li^Bo", ["libo-knee", "Bo Li", "xboli"], ["bone", "slim", "elbow"]),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["山田太郎", "膝山田", "やまだたろう"], ["山"]),
        ("Wang^XiaoMing=王^明", ["王明の膝", "wang"], ["明日"]),
        ("Kim^MinSu=김^민수", ["김민수", "민수 무릎"], ["무릎"]),
    ],
)
def test_names_of_every_script_are_known(tmp_path, person, telling, silent):
    words = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": person, "PatientID": "QX-0"}
    path = films.dicom(tmp_path / "a.dcm", films.bone(), **words)
    assert all(gives_away(name, path) for name in telling)
    assert not any(gives_away(name, path) for name in silent)


@pytest.mark.parametrize("date", ["19690720", "1969.07.20"])
def test_a_birth_date_is_known_also_as_older_standards_wrote_it(tmp_path, date):
    path = films.dicom(tmp_path / "a.dcm", films.bone(), PatientBirthDate=date)
    assert gives_away("knee 1969-07-20", path) and gives_away("knee_20071969", path)
    assert not gives_away("knee 1969-08-20", path)


def test_other_names_and_ids_in_sequences_count(tmp_path):
    """At any depth, and behind the group of the patient: what the film was called before."""
    other, changed, before = Dataset(), Dataset(), Dataset()
    other.PatientID = "HOSP-99812"
    before.PatientID, before.PatientName = "OLD-31337", "Maiden^Name"
    changed.ModifiedAttributesSequence = [before]
    sequences = {"OtherPatientIDsSequence": [other], "OriginalAttributesSequence": [changed]}
    path = films.dicom(tmp_path / "a.dcm", films.bone(), AdmissionID="ADM-7", **sequences)
    assert gives_away("hosp99812.dcm", path) and not gives_away("hosp.dcm", path)
    assert gives_away("old_31337", path) and gives_away("maiden", path) and gives_away("adm7", path)


def test_pictures_and_damaged_files_keep_their_names(tmp_path):
    for name in ("doe.png", "doe.dcm"):
        (tmp_path / name).write_bytes(b"DOE" * 100)
        assert public_path(tmp_path / name) == tmp_path / name
    assert public_path(tmp_path / "missing.dcm") == tmp_path / "missing.dcm"


def test_a_truncated_film_still_identifies_its_patient(tmp_path):
    path = films.dicom(tmp_path / "doe.dcm", films.bone(), **PERSON)
    path.write_bytes(path.read_bytes()[:-3000])
    assert public_path(path) != path


@pytest.mark.parametrize("how", ["as it comes", "--keep-names"])
def test_no_byte_that_segment_writes_is_the_patients(tmp_path, how):
    """Good films, films that are refused, and damaged ones, all named by their patients."""
    folder = tmp_path / "films" / "Quux12"
    folder.mkdir(parents=True)
    markers = films.marked(folder / "Quux12^Mark.dcm")
    films.marked(folder / "ZQ00X.dcm")
    films.marked(folder / "1932-11-27.dcm", Modality="CT")
    films.marked(folder / "Quux00.dcm", Rows=3)
    films.marked(folder / "ZQ30X.dcm", PixelData=b"1234")
    cut = folder / "ZQ31X.dcm"
    films.marked(cut)
    cut.write_bytes(cut.read_bytes()[:-2000])
    words = [sys.executable, "-c", "from boneseg.cli import main; main()"]
    formats = [name for name in FORMATS if not name.startswith("dicom-seg")]  # these copy by design
    words += ["segment", "films", "--out", "out", "--json", "--format", ",".join(formats)]
    if how == "--keep-names":
        words.append(how)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=300)
    assert done.returncode == 1, done.stderr.decode()
    written = done.stdout + done.stderr
    for path in (path for path in sorted((tmp_path / "out").rglob("*")) if path.is_file()):
        content = path.read_bytes()
        written += path.name.encode() + b"\n" + content
        written += gzip.decompress(content) if path.suffix == ".gz" else b""
    found = [marker for marker in markers if marker.lower() in written.lower()]
    results = json.loads((tmp_path / "out" / "segment.json").read_text())
    assert [result["error"] is None for result in results] == [
        False,
        False,
        True,
        True,
        False,
        False,
    ]
    if how == "--keep-names":
        assert b"Quux12" in found and b"film-" not in written
    else:
        assert found == []
        assert b"6 films named by a hash" in written and b"--keep-names" in written
        names = {path.name for path in (tmp_path / "out").glob("film-*")}
        assert len(names) > 10 and results[2]["outputs"]["mask"] in names
        assert np.char.startswith([result["input"] for result in results], "film-").all()


def test_no_line_about_a_dataset_names_a_patient(tmp_path):
    """Films and masks named by their patients: paired by that, and called otherwise."""
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    patient_id = f"ZQ{films.WORDS.index('PatientID'):02}X"
    stems = ("Quux06^Mark", "ZQ00X", patient_id, "Quux04")
    for stem in stems:
        markers = films.marked(tmp_path / "data" / "images" / f"{stem}.dcm")
        mask = np.where(films.bone() > 2000, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{stem}_mask.png")
    (tmp_path / "data" / "masks" / "ZQ00X_mask.png").write_bytes(b"no picture")
    (tmp_path / "data" / "masks" / "Quux04_mask.png").unlink()
    table = "name,patient\n" + "".join(f"{stem},{n}\n" for n, stem in enumerate(stems))
    (tmp_path / "data" / "groups.csv").write_text(table)
    dataset = open_dataset(tmp_path / "data")
    assert all(case.name.startswith("film-") for case in dataset.cases)
    assert {case.group for case in dataset.cases} == {"0", "1", "2"}
    kept = open_dataset(tmp_path / "data", keep_names=True)
    assert {case.name for case in kept.cases} == {"Quux06^Mark", "ZQ00X", patient_id}
    written = b""
    for words in (
        ["check", "data"],
        ["evaluate", "data", "--model", str(bundled()), "--out", "cases.csv"],
        ["convert", "data", "--to", "labelme,mask", "--out", "converted"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", "from boneseg.cli import main; main()", *words],
            cwd=tmp_path,
            capture_output=True,
            timeout=300,
        )
        assert done.returncode == 1 and b"Traceback" not in done.stderr, done.stderr.decode()
        written += done.stdout + done.stderr
    for path in [tmp_path / "cases.csv", *sorted((tmp_path / "converted").rglob("*"))]:
        written += path.name.encode() + path.read_bytes()
    assert [marker for marker in markers if marker.lower() in written.lower()] == []
    assert written.count(b"film-") > 10


def test_masks_named_like_their_hidden_films_are_scored_and_not_named(tmp_path):
    for folder in ("images", "masks", "found"):
        (tmp_path / folder).mkdir()
    mask = Image.fromarray(np.where(films.bone() > 2000, 255, 0).astype(np.uint8))
    for stem in ("Quux06^Mark", "ZQ00X"):
        films.marked(tmp_path / "images" / f"{stem}.dcm")
        mask.save(tmp_path / "masks" / f"{stem}_mask.png")
    mask.save(tmp_path / "found" / "Quux06^Mark_mask.png")
    mask.crop((0, 0, 9, 9)).save(tmp_path / "found" / "ZQ00X.png")
    found = evaluate_masks(open_dataset(tmp_path), tmp_path / "found")
    assert [case.scores.dice for case in found.summary.cases] == [1.0]
    (failure,) = found.failures
    assert "is 9 x 9 pixels" in failure.reason and "film-" in failure.reason
    assert "zq00x" not in failure.reason.lower()


def test_what_is_wrong_with_names_is_said_without_them(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    films.marked(tmp_path / "images" / "ZQ00X.dcm")
    for name in ("ZQ00X.png", "zq00x_mask.png"):
        Image.new("L", (64, 48)).save(tmp_path / "masks" / name)
    with pytest.raises(DatasetError, match="both match it") as refusal:
        open_dataset(tmp_path)
    assert "zq00x" not in str(refusal.value).lower() and "film-" in str(refusal.value)
    (tmp_path / "masks" / "ZQ00X.png").unlink()
    with pytest.raises(UsageError, match=r"film-.* is an image") as refusal:
        open_dataset(tmp_path, labels=["femur"])
    assert "zq00x" not in str(refusal.value).lower()
    (tmp_path / "masks" / "ZQ00X.json").write_text("{")
    with pytest.raises(DatasetError, match=r"film-.*json") as refusal:
        open_dataset(tmp_path)
    assert "zq00x" not in str(refusal.value).lower()
    (tmp_path / "masks" / "ZQ00X.json").unlink()
    (tmp_path / "groups.csv").write_text("name,patient\n")
    with pytest.raises(DatasetError, match="omits film-") as refusal:
        open_dataset(tmp_path)
    assert "zq00x" not in str(refusal.value).lower()


def test_a_film_too_large_for_the_memory_is_not_identified(tmp_path, monkeypatch):
    film = tmp_path / "ZQ00X.dcm"
    films.marked(film)

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("boneseg.radiograph.dicom.read.read_dicom", full)
    with pytest.raises(RadiographError, match=r"film-.* not enough memory"):
        read_radiograph(film)


def test_the_header_of_a_film_is_read_once(tmp_path: Path) -> None:
    film = tmp_path / "ZQ00X.dcm"
    films.marked(film)
    with patch("boneseg.radiograph.dicom.file.read_partial", wraps=read_partial) as read:
        assert read_radiograph(film).pixels.any()
        assert read.call_count == 1
        with pytest.raises(RadiographError, match=r"^film-[0-9a-f]{12}\.dcm: has no frame 2"):
            read_radiograph(film, frame=2)


@pytest.mark.parametrize("keyword", ["StudyDescription", "RequestAttributesSequence"])
def test_a_name_in_a_sequence_is_found_whatever_its_element_is_for(keyword: str) -> None:
    inside = Dataset()
    inside.PatientName = "Doe^Jane"
    assert "janedoe" in identifiers(keyword, "SQ", [inside])


@pytest.mark.parametrize("vr", [b"ZZ", b"LO", b"ST", b"UN", b"OB"])
def test_a_name_of_another_representation_is_still_a_name(tmp_path: Path, vr: bytes) -> None:
    """An unknown VR, one that is not of persons, and bytes."""
    folder = tmp_path / "films"
    folder.mkdir()
    film = films.dicom(folder / "zaphod_beeblebrox.dcm", films.bone())
    data = film.read_bytes()
    name = films.PATIENT.encode() + b" "
    old = b"\x10\0\x10\0PN" + len(name).to_bytes(2, "little") + name
    long = vr in (b"UN", b"OB")
    size = b"\0\0" + len(name).to_bytes(4, "little") if long else len(name).to_bytes(2, "little")
    assert data.count(old) == 1
    film.write_bytes(data.replace(old, b"\x10\0\x10\0" + vr + size + name))
    assert public_path(film).name.startswith("film-")


# -- identifiers of one element -------------------------------------------------------------------


def identifiers(keyword: str, vr: str, value: object) -> set[str]:
    dataset = Dataset()
    dataset.add_new(keyword, vr, value)
    return set(_found_in(dataset))


@pytest.mark.parametrize(
    ("person", "words"),
    [
        ("Doe^Jane", {"doe", "jane", "doejane", "janedoe"}),
        ("Doe", {"doe"}),
        ("Doe^J", {"doe", "doej", "jdoe"}),  # a letter alone is in every name
        ("Doe^Jane^Ann^Dr", {"doe", "jane", "ann", "dr", "doejane", "janedoe"}),
        ("DOE^JANE=Do^Ja", {"doe", "jane", "doejane", "janedoe", "do", "ja", "doja", "jado"}),
        ("Möller", {"moller", "moeller"}),
        ("Mo\u0308ller", {"moller", "moeller"}),  # of two characters
        ("Åsa", {"asa", "aasa"}),
        ("Ærø", {"aero", "aeroe"}),
        ("Łódź", {"lodz"}),
        ("Çœur", {"coeur"}),
        ("Đıwan", {"diwan"}),
        ("", set()),
        ("12", {"12"}),
    ],
)
def test_a_person_is_known_by_the_words_of_the_name(person, words):
    assert identifiers("PatientName", "PN", person) == words


@pytest.mark.parametrize("keyword", ["PatientBirthDate", "PatientBirthDateInAlternativeCalendar"])
def test_a_birth_date_is_known_in_the_common_orders(keyword):
    vr = "DA" if keyword == "PatientBirthDate" else "LO"
    assert identifiers(keyword, vr, "19690720") == {
        *("19690720", "20071969", "07201969", "1969720", "2071969", "7201969"),
        *("690720", "200769", "072069"),
    }
    assert identifiers(keyword, vr, "20011005") == {
        *("20011005", "05102001", "10052001", "2001105", "5102001", "1052001"),
        *("011005", "051001", "100501"),
    }


@pytest.mark.parametrize("date", ["1969072", "196907201", "1969072x", ""])
def test_what_is_no_date_is_no_birth_date(date):
    assert identifiers("PatientBirthDate", "LT", date) == set()


@pytest.mark.parametrize(
    ("keyword", "vr"),
    [
        *(("PatientID", "LO"), ("OtherPatientIDs", "LO"), ("AccessionNumber", "SH")),
        *(("MedicalRecordLocator", "LO"), ("PatientTelephoneNumbers", "SH")),
        *(("PatientAddress", "LO"), ("AdmissionID", "LO")),
    ],
)
def test_a_number_is_known_without_its_zeros_and_separators(keyword, vr):
    assert identifiers(keyword, vr, "00A-47.1") == {"00a471", "a471"}
    assert identifiers(keyword, vr, "A0") == {"a0"}
    assert identifiers(keyword, vr, "000") == {"000"}
    assert identifiers(keyword, vr, "") == identifiers(keyword, vr, "-") == set()


def test_each_of_several_values_is_known():
    assert identifiers("OtherPatientIDs", "LO", ["A1", "B2"]) == {"a1", "b2"}
    found = identifiers("OtherPatientNames", "PN", ["Doe^Jane", "Roe"])
    assert found == {"doe", "jane", "doejane", "janedoe", "roe"}


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        *(("Modality", "CS", "DX"), ("StudyDate", "DA", "19690720"), ("Rows", "US", 1234)),
        *(("StudyID", "SH", "4711"), ("PatientID", "OB", b"\0")),
    ],
)
def test_what_is_not_of_a_person_identifies_nobody(keyword, vr, value):
    assert identifiers(keyword, vr, value) - {""} == set()


def test_a_person_in_an_element_that_the_dictionary_lacks_is_known_by_its_representation():
    dataset = Dataset()
    dataset.add_new(0x00091001, "PN", "Doe^Jane")
    dataset.add_new(0x00091002, "LO", "Roe")
    assert set(_found_in(dataset)) == {"doe", "jane", "doejane", "janedoe"}


def test_an_item_of_a_sequence_is_looked_into():
    item, other = Dataset(), Dataset()
    item.PatientID, other.PatientID = "A1", "B2"
    assert identifiers("OtherPatientIDsSequence", "SQ", [item]) == {"a1"}
    assert identifiers("OtherPatientIDsSequence", "SQ", [item, other]) == {"a1", "b2"}


@pytest.mark.parametrize(
    ("keyword", "vr", "value", "words"),
    [
        ("PatientName", "ZZ", "Jörg".encode(), {"jorg", "joerg", "ja", "rg", "jarg", "rgja"}),
        ("PatientName", "ZZ", b"J\xf6rg", {"jorg", "joerg", "jrg"}),
        ("PatientID", "ZZ", b"A1\\B2", {"a1", "b2"}),  # LO
        ("AccessionNumber", "ZZ", b"A1", {"a1"}),  # SH
        ("PatientAddress", "ZZ", b"A1", {"a1"}),  # LO
        ("PatientBirthDate", "ZZ", b"1969", set()),  # DA
        ("PatientBirthDate", "ZZ", b"19690720", None),
        ("Rows", "ZZ", b"19690720", set()),
        ("PatientID", "OB", b"A1", {"a1"}),
    ],
)
def test_bytes_are_read_as_text_where_the_dictionary_has_text(keyword, vr, value, words):
    tag = Tag(tag_for_keyword(keyword))
    dataset = Dataset({tag: RawDataElement(tag, vr, len(value), value, 0, False, True)})
    found = set(_found_in(dataset))
    nonsense = {word for word in found if not word.isascii()}  # of other encodings
    assert found - nonsense == words if words is not None else "20071969" in found


@pytest.mark.parametrize(
    ("identifier", "name", "told"),
    [
        ("bo", "bo", True),
        ("bo", "bone", False),
        ("bo", "x-bo-1", True),
        ("bob", "xbobx", True),
        ("bob", "bo b", True),
        ("王明", "王明天", True),
        ("王", "王明", False),
        ("王a", "王ab", False),
    ],
)
def test_a_short_word_is_a_whole_word(tmp_path, identifier, name, told):
    words = {"SpecificCharacterSet": "ISO_IR 192", "PatientName": identifier, "PatientID": None}
    film = films.dicom(tmp_path / "a.dcm", films.bone(), **words)
    assert gives_away(name, film) == told


def test_the_alias_of_a_name_is_that_of_its_path(tmp_path):
    film = films.dicom(tmp_path / "zaphod.dcm", films.bone())
    content = hashlib.sha256(film.read_bytes()).hexdigest()
    assert public_name(film) == f"film-{content[:12]}.dcm"
    other = films.dicom(tmp_path / "knee.dcm", films.bone())
    assert public_name(other) == "knee.dcm"
