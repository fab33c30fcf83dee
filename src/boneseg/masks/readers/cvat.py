"""CVAT for images 1.1: one XML for many films (https://docs.cvat.ai/docs/other/xml_format/).

Polygons, brush masks and ellipses count, in the order of their z_order; boxes, lines, points,
cuboids and skeletons do not follow a bone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from boneseg.errors import MaskError
from boneseg.masks.annotations import (
    Drawing,
    Drawn,
    Patch,
    Region,
    Shape,
    UnknownAnnotationError,
    affordable,
    fits,
)
from boneseg.masks.polygons import ellipse
from boneseg.masks.regions import by_runs, placed, polygon, refuse_fractions


def drawings(path: Path, document: object) -> list[Drawing]:
    """A drawing for each film that is listed. Raises MaskError where the XML is another."""
    text = path.read_bytes()
    try:
        # Entities could make a gigabyte of a line; other encodings could hide them.
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text or b"\0" in text:
            raise ValueError
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):  # the last of an encoding
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
    shapes = [one for one in image if one.tag != "tag"]  # tags are said of the whole film
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
        raise MaskError("is larger than its film; draw it on the film that it is meant for")
    part = by_runs([int(run) for run in facts["rle"].split(",")], (height, width))
    return placed(part, left, top, shape)
