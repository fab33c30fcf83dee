"""CVAT for images 1.1: one XML for all films, the bones as brush masks, which keep every pixel.

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/: a mask is a box and, within it,
the lengths of runs row by row, the first of them outside the bone. The label of the task that it is
loaded into must be called "bone".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from boneseg._util.files import whole_file
from boneseg._util.text import printable
from boneseg.masks.formats import BONE
from boneseg.masks.formats.pieces import Places, pieces, run_lengths
from boneseg.masks.segmentation import Segmentation


def entry(segmentation: Segmentation) -> ElementTree.Element:
    """The image element of one film, without its number."""
    height, width = segmentation.mask.shape
    facts = {"name": printable(segmentation.title), "width": str(width), "height": str(height)}
    image = ElementTree.Element("image", facts)
    source = "manual" if segmentation.model is None else "auto"
    for piece in pieces(segmentation.mask):
        ElementTree.SubElement(image, "mask", {"label": BONE, "source": source, **_runs(piece)})
    return image


def write_document(path: Path, entries: Sequence[ElementTree.Element]) -> None:
    """Write the images, numbered from 0. Raises OutputError."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for name, text in (("size", str(len(entries))), ("mode", "annotation")):
        ElementTree.SubElement(task, name).text = text
    label = ElementTree.SubElement(ElementTree.SubElement(task, "labels"), "label")
    ElementTree.SubElement(label, "name").text = BONE
    for number, image in enumerate(entries):
        image.set("id", str(number))
        root.append(image)
    ElementTree.indent(root)
    with whole_file(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def read_document(path: Path) -> dict[str, ElementTree.Element]:
    """The image element of each film of a document, by title. Raises ParseError or KeyError."""
    root = ElementTree.parse(path).getroot()
    if root.tag != "annotations":
        raise ValueError("another document")
    return {image.attrib["name"]: image for image in root.findall("image")}


def _runs(piece: Places) -> dict[str, str]:
    """The box of a piece, and its run lengths in there."""
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
