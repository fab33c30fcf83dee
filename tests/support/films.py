"""Films made for tests: a bright bone on dark ground, and DICOM files of every kind around it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    generate_uid,
)

from tests.support import ROOT

DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the radiographs and meshes of ../shared/data"
)

PATIENT = "Zaphod^Beeblebrox"


def bone(height: int = 48, width: int = 64, top: int = 4095) -> NDArray[np.uint16]:
    """A soft slanting bar, 0 to `top`: no symmetry, so that no turn or mirror goes unseen."""
    rows, columns = np.mgrid[:height, :width]
    bar = np.exp(-(((columns - 0.5 * rows - width / 4) / 8) ** 2))
    values = 0.15 * rows / height + 0.85 * bar
    values = (values - values.min()) / (values.max() - values.min())
    return np.rint(values * top).astype(np.uint16)


def dicom(
    path: Path, pixels: NDArray[Any], syntax: str = ExplicitVRLittleEndian, **more: Any
) -> Path:
    """Write pixels (height x width, frames before them or RGB behind) as DICOM.

    `more` are elements to add (a DataElement as it is) or, with None, to leave out.
    """
    colour = pixels.ndim >= 3 and pixels.shape[-1] == 3
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID, dataset.Modality = PATIENT, "HHGTTG-42", "DX"
    dataset.Rows, dataset.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    if pixels.ndim - colour == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    if pixels.dtype == np.uint16:
        dataset.BitsStored = max(9, int(pixels.max()).bit_length())
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    for keyword, value in more.items():
        if value is None:
            delattr(dataset, keyword)
        elif isinstance(value, DataElement):
            dataset.add(value)
        else:
            setattr(dataset, keyword, value)
    if "BitsStored" in more and "HighBit" not in more:
        dataset.HighBit = dataset.BitsStored - 1
    _save(dataset, path, syntax, pixels)
    return path


def deep_png(path: Path, bands: NDArray[np.uint16]) -> Path:
    """Write grey, grey and opacity, RGB or RGBA (height x width x bands) as PNG of 16 bits."""
    height, width, count = bands.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in bands)
    header = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[count - 1], 0, 0, 0)
    written = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        written += struct.pack(">I", len(data)) + name + data
        written += struct.pack(">I", zlib.crc32(name + data))
    path.write_bytes(written)
    return path


def tiff(
    path: Path, samples: NDArray[Any], order: str = "<", *, zipped: bool = False, **tags: int
) -> Path:
    """Write height x width (x bands) as TIFF of one strip, in byte order "<" or ">".

    tags: photometric (0: white is 0), planes (2: one, and a strip, for each band), extra (2:
    opacity; 1: by which the colours are multiplied).
    """
    height, width, *rest = samples.shape
    count, bits = (rest or [1])[0], 8 * samples.dtype.itemsize
    planes = np.moveaxis(samples, -1, 0) if tags.get("planes") == 2 else [samples]
    strips = [plane.astype(samples.dtype.newbyteorder(order)).tobytes() for plane in planes]
    strips = [zlib.compress(strip) for strip in strips] if zipped else strips
    data, lengths = b"".join(strips), [len(strip) for strip in strips]
    places = [8 + sum(lengths[:index]) for index in range(len(strips))]
    told = {256: [width], 257: [height], 258: [bits] * count, 259: [8 if zipped else 1]}
    told |= {262: [tags.get("photometric", 2 if count > 2 else 1)], 273: places, 277: [count]}
    told |= {278: [height], 279: lengths, 284: [tags.get("planes", 1)]}
    told |= {338: [tags["extra"]]} if "extra" in tags else {}
    told |= {339: ["_uif".index(samples.dtype.kind)] * count}
    start = 8 + len(data) + len(data) % 2
    entries, beyond = b"", b""  # numbers that need more than four bytes stand behind the table
    for tag, values in told.items():
        kind = "H" if len(values) > 1 and tag not in (273, 279) else "I"
        packed = struct.pack(f"{order}{len(values)}{kind}", *values).ljust(4, b"\0")
        if len(packed) > 4:
            place = start + 6 + 12 * len(told) + len(beyond)
            packed, beyond = struct.pack(f"{order}I", place), beyond + packed
        entries += struct.pack(f"{order}HHI", tag, 3 if kind == "H" else 4, len(values)) + packed
    mark = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, start)
    listed = struct.pack(f"{order}H", len(told)) + entries + bytes(4)
    path.write_bytes((mark + data).ljust(start, b"\0") + listed + beyond)
    return path


def table(
    entries: list[int], first: int = 0, bits: int = 16, packed: str | None = None
) -> list[Dataset]:
    """A LUT sequence of one item: numbers (US), or bytes (OW) where `packed` names their dtype."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(entries) % 65536, first, bits])
    if packed:
        item.add_new("LUTData", "OW", np.array(entries, packed).tobytes())
    else:
        item.add_new("LUTData", "US", entries)
    return [item]


def _save(dataset: Dataset, path: Path, syntax: str, pixels: NDArray[Any]) -> None:
    if syntax == JPEGBaseline8Bit:
        packed = io.BytesIO()
        Image.fromarray(pixels).save(packed, "JPEG", quality=95)
        dataset.PixelData = encapsulate([packed.getvalue()])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
    elif syntax in (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1):
        dataset.save_as(path, enforce_file_format=True)
        _recode(path, syntax)
        return
    elif syntax.is_compressed and not syntax.is_deflated:
        lossy = {"jls_error": 2} if syntax.name.startswith("JPEG-LS Lossy") else {}
        if syntax.name == "JPEG 2000 Image Compression":
            lossy = {"j2k_psnr": [60]}
        dataset.compress(syntax, **lossy)
    elif syntax != ExplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
        implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
        dataset["PixelData"].VR = "OW"
        dataset.save_as(path, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
        return
    dataset.save_as(path, enforce_file_format=True)


def _recode(path: Path, syntax: str) -> None:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    names = {
        JPEGExtended12Bit: gdcm.TransferSyntax.JPEGExtendedProcess2_4,
        JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
        JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    }
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(names[syntax]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


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


NESTED = (
    *("OtherPatientIDsSequence", "OriginalAttributesSequence", "RequestAttributesSequence"),
    *("ReferencedPatientSequence", "ReferencedStudySequence", "SourceImageSequence"),
    *("PatientPrimaryLanguageCodeSequence", "PersonIdentificationCodeSequence"),
)


def marked(path: Path, **more: Any) -> list[bytes]:
    """A film with a marker of its own in every identifying element; the markers."""
    dicom(path, bone(), **more)
    dataset = dcmread(path)
    markers = []
    for number, keyword in enumerate(NAMES):
        dataset.add_new(keyword, "PN", f"Quux{number:02}^Mark")
        markers.append(f"Quux{number:02}")
    for number, keyword in enumerate(WORDS):
        kind = dictionary_VR(keyword)
        dataset.add_new(keyword, kind, f"ZQ{number:02}X")
        markers.append(f"ZQ{number:02}X")
    for number, keyword in enumerate(UIDS):
        dataset.add_new(keyword, "UI", UID(f"1.2.77777.{number}.88888"))
        markers.append(f"77777.{number}.88888")
    for number, keyword in enumerate(DATES):
        dataset.add_new(keyword, "DA", f"193{number}1127")
        markers.append(f"193{number}1127")
    for number, keyword in enumerate(NESTED):
        outer, inner = Dataset(), Dataset()
        inner.PatientName, inner.PatientID = f"Nest{number:02}X^Mark", f"ZN{number:02}X"
        inner.AccessionNumber, inner.PatientComments = f"ZA{number:02}X", f"ZC{number:02}X said"
        outer.ModifiedAttributesSequence = [inner]
        setattr(dataset, keyword, [outer])
        markers += [f"{letters}{number:02}X" for letters in ("Nest", "ZN", "ZA", "ZC")]
    for group in (0x0009, 0x0019, 0x0029, 0x7FE1):
        private = dataset.private_block(group, "ZQPRIVATE", create=True)
        private.add_new(0x01, "LO", "ZQPRIVATE DATUM")
        private.add_new(0x02, "PN", "ZQPRIVATE^Person")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path)
    return [marker.encode() for marker in (*markers, "ZQPRIVATE")]


FULL = {"WindowCenter": 2048, "WindowWidth": 4096}  # 0..4095 to 0..1


EXACT = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
]
LOSSY = [JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000]
COMPRESSED = [*EXACT[4:], *LOSSY]


def named(syntaxes):
    return pytest.mark.parametrize("syntax", syntaxes, ids=lambda syntax: syntax.name)
