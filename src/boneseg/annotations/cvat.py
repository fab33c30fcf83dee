"""CVAT for images 1.1: one XML for many films (https://docs.cvat.ai/docs/other/xml_format/).

Polygons, brush masks and ellipses count, in the order of their z_order; boxes, lines, points,
cuboids and skeletons do not follow a bone.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from boneseg.annotations import Drawing, Drawn, Region, UnknownAnnotationError
from boneseg.annotations.regions import by_runs, placed, polygon
from boneseg.errors import MaskError
from boneseg.polygons import ellipse


def drawings(path: Path, document: object) -> list[Drawing]:
    """A drawing for each film that is listed. Raises MaskError where the XML is another."""
    text = path.read_bytes()
    try:
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:  # could make a gigabyte of a line
            raise ValueError
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError):  # the last of an encoding
        raise MaskError(f"{path}: is damaged, or no XML; export it again") from None
    if root.tag != "annotations" or root.find("track") is not None:
        raise UnknownAnnotationError(
            f"{path}: is no CVAT for images; export it as 'CVAT for images 1.1'"
        )
    return [_drawing(image) for image in root.iter("image")]


def _drawing(image: ElementTree.Element) -> Drawing:
    shapes = [shape for shape in image if "label" in shape.attrib and shape.tag != "tag"]
    shapes.sort(key=lambda shape: int(shape.get("z_order", 0)))
    size = int(image.attrib["height"]), int(image.attrib["width"])
    drawn = Drawn(tuple(map(_region, shapes)), size)
    return Drawing(lambda: drawn, name=image.attrib["name"])


def _region(shape: ElementTree.Element) -> Region:
    label, facts = shape.attrib["label"], shape.attrib
    if shape.tag == "polygon":
        return polygon(label, [pair.split(",") for pair in facts["points"].split(";")])
    if shape.tag == "ellipse":
        x, y, rx, ry = (float(facts[name]) for name in ("cx", "cy", "rx", "ry"))
        return polygon(label, ellipse(x, y, rx, ry, float(facts.get("rotation", 0))))
    if shape.tag == "mask":
        left, top, width, height = (
            round(float(facts[name])) for name in ("left", "top", "width", "height")
        )
        part = by_runs([int(run) for run in facts["rle"].split(",")], (height, width))
        return Region(label, placed(part, left, top), "a mask")
    return Region(label, None, f"a {shape.tag}")
