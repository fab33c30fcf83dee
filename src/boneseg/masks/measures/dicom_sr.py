"""Measures as a DICOM structured report (PS3.3 A.35.3), of template TID 1500.

    source = read_source(Path("knee.dcm"))
    dicom_sr(source, film, measures, Path("knee.dcm")).save_as("knee.sr.dcm")

Each measure is a group (TID 1501) with its values and the lines they were measured on, and what
its mm are: a Calibration Method (122422, DCM), as in TID 3205, and the user's words for it. The
patient and the study are copied by design, as in DICOM Segmentations; the measures are those of a
person, with boneseg as the device. A film whose spacing is unknown has lengths in px ({pixels}).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from boneseg._util.quiet import quiet
from boneseg.errors import RadiographError
from boneseg.masks.formats.dicom_seg.source import (
    anchor_of,
    derived_uid,
    identify,
    missing_identifier,
)
from boneseg.masks.measures.geometry import Kind, Measure, Point, values
from boneseg.radiograph.dicom.header import numbers_of, text_of
from boneseg.radiograph.film import Radiograph, SpacingKind

if TYPE_CHECKING:
    from highdicom.sr import (
        CoordinatesForMeasurement,
        MeasurementsAndQualitativeEvaluations,
        ObserverContext,
    )

SERIES_NUMBER = 7101  # beside that of segmentations
_SCHEME = "99BONESEG"  # of what has no code in SNOMED CT
_NAMES = {
    "length": codes.SCT.Length,
    "angle": codes.SCT.Angle,
    "cobb angle": codes.SCT.CobbAngle,
    "hip-knee-ankle angle": Code("HKA", _SCHEME, "Hip-knee-ankle angle"),
    "varus": Code("VARUS", _SCHEME, "Varus angle"),
    "valgus": Code("VALGUS", _SCHEME, "Valgus angle"),
    "varus or valgus": Code("BEND", _SCHEME, "Varus or valgus angle, medial side not known"),
    "mechanical axis deviation": Code("MAD", _SCHEME, "Mechanical axis deviation"),
    "femur": Code("FEMUR", _SCHEME, "Length from hip to knee"),
    "tibia": Code("TIBIA", _SCHEME, "Length from knee to ankle"),
    "leg": Code("LEG", _SCHEME, "Length from hip to ankle"),
}
_UNITS = {
    "mm": codes.UCUM.Millimeter,
    "deg": codes.UCUM.Degree,
    "px": Code("{pixels}", "UCUM", "pixels"),
}
_SPACINGS: dict[SpacingKind, Code] = {
    "user": Code("USER", _SCHEME, "Pixel spacing given by the user"),
    "calibrated": Code("PATIENT", _SCHEME, "In the patient, corrected for magnification"),
    "detector": codes.DCM.InDetectorPlane,
    "uncalibrated": Code("UNCALIBRATED", _SCHEME, "In the patient or on the detector, not stated"),
    "placeholder": Code("PLACEHOLDER", _SCHEME, "None: pixel spacing of 1 mm is a placeholder"),
    "unknown": Code("UNKNOWN", _SCHEME, "None: pixel spacing unknown"),
}
_LINES: dict[Kind, tuple[tuple[int, ...], ...]] = {  # the points of each line
    "length": ((0, 1),),
    "angle": ((0, 1, 2),),
    "cobb": ((0, 1), (2, 3)),
    "alignment": ((0, 1, 2),),
}


def dicom_sr(
    source: Dataset, film: Radiograph, measures: Sequence[Measure], name: Path, how: str = ""
) -> Dataset:
    """The measures of a film as a structured report, in memory.

    source: the film as pydicom reads it (`read_source`). name: of the film in errors. how: the
    user's words for how the film was calibrated. The same film and measures always give the same
    UIDs. Raises RadiographError if there is no measure, one is not within the film, as a report
    requires (PS3.3 C.18.6.1.1), or the film lacks a required identifier.
    """
    import highdicom.sr as sr

    instance, series = text_of(source, "SOPInstanceUID"), text_of(source, "SeriesInstanceUID")
    _check(source, film, measures, name)
    with quiet():
        facts = film.spacing_mm, film.spacing_kind, how
        content = json.dumps([[asdict(one) for one in measures], *facts])
        uid = derived_uid(instance, film.frame, hashlib.sha256(content.encode()).hexdigest())
        groups = [
            _group(source, film, measure, number, how) for number, measure in enumerate(measures, 1)
        ]
        report = sr.MeasurementReport(
            observation_context=sr.ObservationContext(observer_device_context=_device()),
            procedure_reported=codes.SCT.PlainRadiography,
            imaging_measurements=groups,
            title=codes.DCM.ImagingMeasurementReport,
        )
        made: Dataset = sr.ComprehensiveSR(
            evidence=[anchor_of(source)],
            content=report[0],
            series_instance_uid=derived_uid(series, "measures"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=uid,
            instance_number=1,
            manufacturer="boneseg",
            series_description="Measures (boneseg)",
        )
        identify(made, source)
        _refer(made, text_of(source, "SOPClassUID"))
        return made


def _check(source: Dataset, film: Radiograph, measures: Sequence[Measure], name: Path) -> None:
    if not measures:
        raise RadiographError(f"{name}: has no measures; draw one first")
    if missing := missing_identifier(source):
        raise RadiographError(
            f"{name}: has no valid {missing}, so a structured report cannot reference it; "
            "download the measures as CSV"
        )
    height, width = film.shape
    for number, measure in enumerate(measures, 1):
        if not all(0 <= x <= width and 0 <= y <= height for x, y in measure.points):
            raise RadiographError(
                f"{name}: {_title(measure, number)} has a point outside the film, which a "
                "structured report cannot hold; move it onto the film, or download the CSV"
            )


def _device() -> ObserverContext:
    import highdicom.sr as sr

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=derived_uid("boneseg"),
        name="boneseg",
        manufacturer_name="boneseg",
        model_name=f"boneseg {version('boneseg')}",
    )
    return sr.ObserverContext(
        observer_type=codes.DCM.Device, observer_identifying_attributes=device
    )


def _title(measure: Measure, number: int) -> str:
    return measure.name or f"{measure.kind} {number}"


def _group(
    source: Dataset, film: Radiograph, measure: Measure, number: int, how: str
) -> MeasurementsAndQualitativeEvaluations:
    """A measure as TID 1501; each of its values refers to the lines that it was measured on."""
    import highdicom.sr as sr

    lines = _LINES[measure.kind]
    tracking = sr.TrackingIdentifier(
        uid=derived_uid(text_of(source, "SOPInstanceUID"), measure.kind, str(measure.points)),
        identifier=_title(measure, number),
    )
    found = values(measure, film.spacing_mm).items()
    calibration = sr.QualitativeEvaluation(
        codes.DCM.CalibrationMethod, _SPACINGS[film.spacing_kind]
    )
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        qualitative_evaluations=[calibration],
        measurements=[
            sr.Measurement(
                name=_NAMES[what],
                value=round(value.number, 3),
                unit=_UNITS[value.unit],
                referenced_coordinates=[
                    _line(source, film, [measure.points[at] for at in line]) for line in lines
                ],
            )
            for what, value in found
        ],
    )
    if how:
        words = sr.TextContentItem(codes.DCM.Comment, how, sr.RelationshipTypeValues.CONTAINS)
        group[0].ContentSequence.append(words)
    return group


def _line(source: Dataset, film: Radiograph, points: Sequence[Point]) -> CoordinatesForMeasurement:
    import highdicom.sr as sr

    several = int((numbers_of(source, "NumberOfFrames") or [1])[0]) > 1
    return sr.CoordinatesForMeasurement(
        graphic_type=sr.GraphicTypeValues.POLYLINE,
        graphic_data=np.array(points, np.float64),
        source_image=sr.SourceImageForRegion(
            referenced_sop_class_uid=text_of(source, "SOPClassUID"),
            referenced_sop_instance_uid=text_of(source, "SOPInstanceUID"),
            referenced_frame_numbers=[film.frame] if several else None,
        ),
    )


def _refer(report: Dataset, kind: str) -> None:
    """Set the class of the film in the list of evidence, for which `anchor_of` stands."""
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in report.get(keyword, ()):
            for series in study.ReferencedSeriesSequence:
                for instance in series.ReferencedSOPSequence:
                    instance.ReferencedSOPClassUID = kind
