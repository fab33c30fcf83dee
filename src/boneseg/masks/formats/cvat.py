"""CVAT for images 1.1: one XML for all films (https://docs.cvat.ai/docs/other/xml_format/).

Written: the bones as brush masks, which keep every pixel
(https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/). A mask is a box and, within it,
the lengths of runs row by row, the first of them outside the bone. The CVAT task must have the
labels that the file lists: "bone", and the names of bones where they are named.

Read: polygons, brush masks and ellipses, in the order of their z_order; boxes, lines, points,
cuboids and skeletons do not follow the outline of a bone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from boneseg._util.files import read_bytes, whole_file
from boneseg._util.text import printable
from boneseg.errors import MaskError
from boneseg.masks.formats.pieces import Places, pieces, run_lengths
from boneseg.masks.polygons import ellipse
from boneseg.masks.regions import by_runs, placed, polygon, refuse_fractions
from boneseg.masks.segmentation import BONE, Segmentation
from boneseg.masks.types import (
    LARGEST,
    Drawing,
    Drawn,
    Patch,
    Region,
    Shape,
    UnknownAnnotationError,
    affordable,
    fits,
)

if TYPE_CHECKING:
    from xml.etree import ElementTree


def entry(segmentation: Segmentation) -> ElementTree.Element:
    """The image element of one film, without its number."""
    from xml.etree import ElementTree

    height, width = segmentation.mask.shape
    facts = {"name": printable(segmentation.title), "width": str(width), "height": str(height)}
    image = ElementTree.Element("image", facts)
    source = "manual" if segmentation.model is None else "auto"
    for layer in segmentation.layers:
        for piece in pieces(layer.mask):
            facts = {"label": layer.label, "source": source, **_runs(piece)}
            ElementTree.SubElement(image, "mask", facts)
    return image


def write_document(path: Path, entries: Sequence[ElementTree.Element]) -> None:
    """Write the images, numbered from 0. Raises OutputError."""
    from xml.etree import ElementTree

    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for name, text in (("size", str(len(entries))), ("mode", "annotation")):
        ElementTree.SubElement(task, name).text = text
    labels = ElementTree.SubElement(task, "labels")
    used = {mask.get("label", BONE) for image in entries for mask in image.iter("mask")}
    for name in sorted(used | {BONE}):
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for number, image in enumerate(entries):
        image.set("id", str(number))
        root.append(image)
    ElementTree.indent(root)
    with whole_file(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def read_document(path: Path) -> dict[str, ElementTree.Element]:
    """The image element of each film of a document, by title.

    Raises ParseError, ValueError, LookupError or OSError.
    """
    root = _root(path)
    if root.tag != "annotations":
        raise ValueError("another document")
    return {image.attrib["name"]: image for image in root.findall("image")}


def _root(path: Path) -> ElementTree.Element:
    """The outermost element of a file. Raises ParseError, ValueError, LookupError or OSError."""
    from xml.etree import ElementTree

    text = read_bytes(path, LARGEST)
    # Entities could expand a line to a gigabyte; other encodings could hide them.
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
        raise ValueError("has entities")
    return ElementTree.fromstring(text)


def _runs(piece: Places) -> dict[str, str]:
    """The box of a piece, and its run lengths in the box."""
    (top, left), (bottom, right) = piece.min(axis=0).tolist(), (piece.max(axis=0) + 1).tolist()
    height, width = bottom - top, right - left
    inside = (piece[:, 0] - top) * width + piece[:, 1] - left
    return {
        "occluded": "0",
        "rle": ", ".join(map(str, run_lengths(inside, height * width))),
        "left": str(left),
        "top": str(top),
        "width": str(width),
        "height": str(height),
        "z_order": "0",
    }


def drawings(path: Path) -> list[Drawing]:
    """A drawing for each film that is listed. Raises MaskError for other XML."""
    from xml.etree import ElementTree

    try:
        root = _root(path)
    except (ElementTree.ParseError, ValueError, LookupError):  # LookupError: of an encoding
        raise MaskError("is damaged, or is not XML; export it again") from None
    if root.tag != "annotations":
        raise UnknownAnnotationError("is not CVAT for images; export it as 'CVAT for images 1.1'")
    if root.find("track") is not None:
        raise MaskError(
            "is a CVAT video export, not CVAT for images; export it as 'CVAT for images 1.1'"
        )
    return [_drawing(image) for image in root.iter("image")]


def _drawing(image: ElementTree.Element) -> Drawing:
    name, read = image.get("name"), partial(_read, image)
    if not name:
        return Drawing(read, error="an image has no name; export it again")
    return Drawing(read, name)


def _read(image: ElementTree.Element, shape: Shape | None) -> Drawn:
    size = fits((int(image.attrib["height"]), int(image.attrib["width"])), shape)
    shapes = [one for one in image if one.tag != "tag"]  # tags apply to the whole film
    shapes.sort(key=lambda one: int(one.get("z_order", 0)))
    regions = tuple(map(_region, shapes))
    refuse_fractions(regions)
    return Drawn(regions, size)


def _region(shape: ElementTree.Element) -> Region:
    label, facts = shape.get("label", "unlabelled"), shape.attrib
    if shape.tag == "polygon":
        return polygon(label, [pair.split(",") for pair in facts["points"].split(";")])
    if shape.tag == "ellipse":
        x, y, rx, ry = (float(facts[name]) for name in ("cx", "cy", "rx", "ry"))
        turn = float(facts.get("rotation", 0))
        return polygon(label, ellipse(x, y, rx, ry, turn), kind="an ellipse")
    if shape.tag == "mask":
        return Region(label, partial(_masked, facts), "a mask")
    return Region(label, None, f"a {shape.tag}")


def _masked(facts: dict[str, str], shape: Shape) -> Patch:
    left, top, width, height = (
        round(float(facts[name])) for name in ("left", "top", "width", "height")
    )
    affordable(width * height, 1)
    if width > shape[1] or height > shape[0]:
        raise MaskError("extends beyond its film; check that it belongs to this film")
    part = by_runs([int(run) for run in facts["rle"].split(",")], (height, width))
    return placed(part, left, top, shape)
