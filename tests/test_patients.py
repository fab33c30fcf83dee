"""Whose film it is stays out of everything that the tool writes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

import films
from boneseg.patients import gives_away, public_path

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
    "strangelove1.dcm",
]
SILENT = ["knee.dcm", "1.2.840.10008.5.dcm", "left_0042.dcm", "1969.dcm"]

# PS3.15 Table E.1-1: of what the basic profile removes or replaces, the elements that a radiograph
# may have and that are written here by their kind. UIDs, dates and times among them.
NAMES = (
    *("ConsultingPhysicianName", "NameOfPhysiciansReadingStudy", "OperatorsName"),
    *("OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "PatientName"),
    *("PerformingPhysicianName", "PhysiciansOfRecord", "ReferringPhysicianName"),
    *("RequestingPhysician", "ResponsiblePerson", "ScheduledPerformingPhysicianName"),
    *("NamesOfIntendedRecipientsOfResults", "EvaluatorName", "ReviewerName"),
)
WORDS = (
    *("AccessionNumber", "AcquisitionComments", "AcquisitionDeviceProcessingDescription"),
    *("AdditionalPatientHistory", "AdmissionID", "AdmittingDiagnosesDescription", "Allergies"),
    *("BranchOfService", "CassetteID", "CountryOfResidence", "CurrentPatientLocation"),
    *("DerivationDescription", "DetectorID", "DeviceSerialNumber", "EthnicGroup"),
    *("FillerOrderNumberImagingServiceRequest", "FrameComments", "GantryID", "GeneratorID"),
    *("ImageComments", "ImagePresentationComments", "ImagingServiceRequestComments"),
    *("InstitutionAddress", "InstitutionName", "InstitutionalDepartmentName"),
    *("InsurancePlanIdentification", "IssuerOfPatientID", "MedicalAlerts"),
    *("MedicalRecordLocator", "MilitaryRank", "Occupation", "OtherPatientIDs", "PatientAddress"),
    *("PatientComments", "PatientID", "PatientInstitutionResidence"),
    *("PatientReligiousPreference", "PatientState", "PatientTelephoneNumbers"),
    *("PerformedLocation", "PerformedProcedureStepDescription", "PerformedProcedureStepID"),
    *("PerformedStationAETitle", "PerformedStationName", "PlacerOrderNumberImagingServiceRequest"),
    *("PlateID", "ProtocolName", "ReasonForStudy", "ReferringPhysicianAddress"),
    *("RegionOfResidence", "RequestedProcedureComments", "RequestedProcedureDescription"),
    *("RequestedProcedureID", "RequestedProcedureLocation", "RequestingService"),
    *("SeriesDescription", "ServiceEpisodeDescription", "ServiceEpisodeID", "SpecialNeeds"),
    *("StationName", "StudyComments", "StudyDescription", "StudyID", "VisitComments"),
)
UIDS = (
    *("FrameOfReferenceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyInstanceUID"),
    *("DeviceUID", "SynchronizationFrameOfReferenceUID"),
)
DATES = (
    *("AcquisitionDate", "ContentDate", "PatientBirthDate", "SeriesDate", "StudyDate"),
    *("AdmittingDate", "LastMenstrualDate", "DateOfLastCalibration"),
)


def test_names_that_tell_whose_film_it_is_become_a_hash_of_the_content(tmp_path):
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


def test_other_names_and_ids_in_sequences_count(tmp_path):
    other = Dataset()
    other.PatientID = "HOSP-99812"
    path = films.dicom(tmp_path / "a.dcm", films.bone(), OtherPatientIDsSequence=[other])
    assert gives_away("hosp99812.dcm", path) and not gives_away("hosp.dcm", path)


def test_pictures_and_damaged_files_keep_their_names(tmp_path):
    for name in ("doe.png", "doe.dcm"):
        (tmp_path / name).write_bytes(b"DOE" * 100)
        assert public_path(tmp_path / name) == tmp_path / name
    assert public_path(tmp_path / "missing.dcm") == tmp_path / "missing.dcm"


def test_a_film_cut_short_still_tells_whose_it_is(tmp_path):
    path = films.dicom(tmp_path / "doe.dcm", films.bone(), **PERSON)
    path.write_bytes(path.read_bytes()[:-3000])
    assert public_path(path) != path


def marked(path: Path, **more: object) -> list[bytes]:
    """A film with a marker of its own in every identifying element; the markers."""
    films.dicom(path, films.bone(), **more)
    dataset = pydicom.dcmread(path)
    markers = []
    for number, keyword in enumerate(NAMES):
        dataset.add_new(keyword, "PN", f"Quux{number:02}^Mark")
        markers.append(f"Quux{number:02}")
    for number, keyword in enumerate(WORDS):
        kind = pydicom.datadict.dictionary_VR(keyword)
        dataset.add_new(keyword, kind, f"ZQ{number:02}X")
        markers.append(f"ZQ{number:02}X")
    for number, keyword in enumerate(UIDS):
        dataset.add_new(keyword, "UI", UID(f"1.2.77777.{number}.88888"))
        markers.append(f"77777.{number}.88888")
    for number, keyword in enumerate(DATES):
        dataset.add_new(keyword, "DA", f"193{number}1127")
        markers.append(f"193{number}1127")
    private = dataset.private_block(0x0009, "ZQPRIVATE", create=True)
    private.add_new(0x01, "LO", "ZQPRIVATE DATUM")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path)
    return [marker.encode() for marker in (*markers, "ZQPRIVATE")]


@pytest.mark.parametrize("how", ["as it comes", "--keep-names"])
def test_no_byte_that_segment_writes_is_the_patients(tmp_path, how):
    """Good films, films that are refused, and damaged ones, all named by their patients."""
    folder = tmp_path / "films" / "Quux12"
    folder.mkdir(parents=True)
    markers = marked(folder / "Quux12^Mark.dcm")
    marked(folder / "ZQ00X.dcm")
    marked(folder / "1932-11-27.dcm", Modality="CT")
    marked(folder / "Quux00.dcm", Rows=3)
    marked(folder / "ZQ30X.dcm", PixelData=b"1234")
    cut = folder / "ZQ31X.dcm"
    marked(cut)
    cut.write_bytes(cut.read_bytes()[:-2000])
    words = [sys.executable, "-c", "from boneseg.cli import main; main()"]
    words += ["segment", "films", "--out", "out", "--json"]
    if how == "--keep-names":
        words.append(how)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, timeout=300)
    assert done.returncode == 1, done.stderr.decode()
    written = done.stdout + done.stderr
    for path in sorted((tmp_path / "out").rglob("*")):
        written += path.name.encode() + b"\n" + path.read_bytes()
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
        assert b"6 films called by a hash" in written and b"--keep-names" in written
        names = {path.name for path in (tmp_path / "out").glob("film-*")}
        assert len(names) == 4 and names >= set(results[2]["outputs"].values())
        assert np.char.startswith([result["input"] for result in results], "film-").all()
