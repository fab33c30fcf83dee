"""DICOM Segmentation (PS3.3 A.51): the bones as a PACS stores them, beside their film.

    source = read_source(Path("knee.dcm"))
    dicom_seg(source, segmentation).save_as("knee.seg.dcm")

The segmentation has the pixel matrix of its film, and references it. It has no Frame of Reference:
a projection has no position in the patient, and without one the standard matches the two by their
pixels (A.51.5).

Patient and study are copied by design, see `source`.

It carries the verdict on the mask: the Content Description has the verdict and its trust, the
Segment Description also body part, projection and reason. Its Content Qualification is RESEARCH.

Its UIDs are derived from those of the film and of the model: the same film and model always give
the same UIDs, and storing the result twice does not add a second one.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from boneseg._util.files import whole_file
from boneseg._util.quiet import quiet
from boneseg.errors import RadiographError
from boneseg.masks.formats.dicom_seg.source import (
    anchor_of,
    derived_uid,
    identify,
    is_valid,
    matrix_of,
    missing_identifier,
    read_source,
)
from boneseg.masks.segmentation import BONE, Layer, Model, Segmentation
from boneseg.masks.terminology import colour_of, concept_of
from boneseg.masks.verdict import Verdict
from boneseg.radiograph.dicom.header import numbers_of, text_of

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription

SERIES_NUMBER = 7100  # above the series numbers that modalities assign
_COLOUR = (72.0, 18.0, 74.0)  # CIELab of the orange of overlays


def dicom_seg(
    source: Dataset,
    found: Segmentation,
    *,
    fractional: bool = False,
    corrected: bool = False,
) -> Dataset:
    """The bones on a film as a DICOM Segmentation, in memory.

    source: the film as pydicom reads it; its pixels are not used.
    found: of the same film; its mask is written or, with `fractional`, its probability.
    corrected: whether a person has edited the model's mask; the UIDs then depend on the mask.

    Raises RadiographError if the film lacks a required identifier, or has another size.
    """
    import highdicom  # noqa: F401 (before `quiet`, which silences existing loggers)

    with quiet():
        _check(source, found.mask.shape, str(found.name))
        segmentation = _segmentation(source, found, fractional, corrected)
        identify(segmentation, source)
        # Patient Orientation is type 2C without a position in space (C.7.6.1.1.1).
        known = is_valid(source, "PatientOrientation")
        segmentation.PatientOrientation = source.PatientOrientation if known else None
        _refer(segmentation, source, found.film.frame)
        return segmentation


def _segmentation(
    source: Dataset, found: Segmentation, fractional: bool, corrected: bool
) -> Dataset:
    """The segmentation of an anonymous film with the UIDs of `source`."""
    import highdicom

    film, study, series = (text_of(source, f"{of}InstanceUID") for of in ("SOP", "Study", "Series"))
    frame, by = found.film.frame, found.model
    layers = (Layer(BONE, found.mask),) if fractional else found.layers
    named = found.bones is not None and not fractional
    model, kind = _model(by), _kind(fractional=fractional, named=named)
    uid = derived_uid(film, frame, model, kind)
    if by is None or corrected:  # a person may draw another mask each time
        uid = derived_uid(uid, hashlib.sha256(np.packbits(found.mask).tobytes()).hexdigest())
    judged = None if corrected else found.verdict  # a verdict on the model's mask
    brief = f": {judged.verdict}, trust {judged.trust:.2f}" if judged else ""
    if fractional:
        assert found.probability is not None  # `FilmFormat.drawn`: masks alone are not fractional
        pixels: NDArray[np.generic] = found.probability
    else:
        pixels = np.stack([layer.mask for layer in layers], axis=-1)[None].astype(np.uint8)
    made: Dataset = highdicom.seg.Segmentation(
        source_images=[anchor_of(source)],
        pixel_array=np.ascontiguousarray(pixels),
        segmentation_type="FRACTIONAL" if fractional else "BINARY",
        fractional_type="PROBABILITY",
        segment_descriptions=[
            _description(number, layer.label, by, corrected, judged)
            for number, layer in enumerate(layers, start=1)
        ],
        series_instance_uid=derived_uid(study, series, model, kind),
        series_number=SERIES_NUMBER,
        sop_instance_uid=uid,
        instance_number=_number(source) + frame - 1,
        manufacturer="boneseg",
        manufacturer_model_name="boneseg",
        software_versions=version("boneseg"),
        device_serial_number=model[:16],
        content_label="BONES",
        content_description=f"Bones, {kind}{brief}",
        series_description=f"Bones, {kind} (boneseg)",
        omit_empty_frames=False,  # a film without bones has a result too
    )
    if by is not None:  # boneseg is not cleared for diagnosis; an extension of the class
        made.ContentQualification = "RESEARCH"  # (0018,9004): PRODUCT, RESEARCH or SERVICE
    return made


def segmentation_uid(
    film_uid: str, model: Model | None, *, frame: int = 1, fractional: bool = False
) -> str:
    """The SOP Instance UID of a model's segmentation of a film, known before it is computed.

    Of one without the names of bones.
    """
    return derived_uid(film_uid, frame, _model(model), _kind(fractional=fractional))


def write(path: Path, found: Segmentation, *, fractional: bool = False) -> None:
    """Write the mask. Raises RadiographError for a film not in DICOM, and OutputError."""
    source = read_source(found.film.source, found.name)
    segmentation = dicom_seg(source, found, fractional=fractional)
    with quiet(), whole_file(path) as temporary:
        segmentation.save_as(temporary, enforce_file_format=True)


def _check(source: Dataset, shape: tuple[int, ...], name: str) -> None:
    if missing := missing_identifier(source):
        raise RadiographError(
            f"{name}: has no valid {missing}, so a DICOM Segmentation cannot reference it; "
            "export it again, or omit dicom-seg"
        )
    stored = matrix_of(source)
    if stored != shape:
        said = " x ".join(map(str, stored)) or "unknown"
        raise RadiographError(
            f"{name}: its pixel matrix is {said} but its bones were found on "
            f"{shape[0]} x {shape[1]} (height x width); omit dicom-seg"
        )


def _description(
    number: int, label: str, model: Model | None, corrected: bool, verdict: Verdict | None
) -> SegmentDescription:
    """The description of a segment; the verdict is on the whole mask."""
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription

    algorithm = None
    if model is not None:
        algorithm = AlgorithmIdentificationSequence(
            name="boneseg",
            version=f"{version('boneseg')}, model {model.sha256[:16]}",
            family=codes.cid7162.ArtificialIntelligence,
            source="boneseg",
            parameters={"threshold": f"{model.threshold:g}", "model_sha256": model.sha256},
        )
    kind = "MANUAL" if model is None else "SEMIAUTOMATIC" if corrected else "AUTOMATIC"
    concept = concept_of(label)
    colour = CIELabColor(*_COLOUR) if label == BONE else CIELabColor.from_rgb(*colour_of(label))
    described = SegmentDescription(
        segment_number=number,
        segment_label=label.capitalize(),
        segmented_property_category=codes.cid7150.AnatomicalStructure,
        segmented_property_type=Code(concept.code, "SCT", concept.meaning),
        algorithm_type=kind,
        algorithm_identification=algorithm,
        anatomic_regions=[Code(concept.region[0], "SCT", concept.region[1])]
        if concept.region
        else None,
        display_color=colour,
    )
    if verdict is not None:
        described.SegmentDescription = f"{verdict.view}; {verdict}"  # (0062,0006), ST
    return described


def _refer(segmentation: Dataset, source: Dataset, frame: int) -> None:
    """Set the class of the film in all references to it and the frame, if it has several."""
    several = (numbers_of(source, "NumberOfFrames") or [1])[0] > 1
    kind = text_of(source, "SOPClassUID")
    for series in segmentation.ReferencedSeriesSequence:
        for instance in series.ReferencedInstanceSequence:
            instance.ReferencedSOPClassUID = kind
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            for image in derivation.SourceImageSequence:
                image.ReferencedSOPClassUID = kind
                if several:
                    image.ReferencedFrameNumber = frame


def _model(model: Model | None) -> str:
    return model.sha256 if model is not None else "by hand"


def _kind(*, fractional: bool, named: bool = False) -> str:
    return "probability" if fractional else "mask of each" if named else "mask"


def _number(source: Dataset) -> int:
    """The film's number in its series; 1 if it has no usable one."""
    number = int((numbers_of(source, "InstanceNumber") or [1])[0])
    return number if 1 <= number < 2**31 - 2**16 else 1
