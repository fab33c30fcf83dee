"""Every format, suffix, type and shape of masks that a list in the code or the docs names."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from boneseg.dataset.open import open_dataset
from boneseg.errors import MaskError
from boneseg.masks.annotations import _DOUBTFUL, _HOLES, DICOM_SUFFIXES, SUFFIXES
from boneseg.masks.filenames import IMAGE_SUFFIXES
from boneseg.masks.formats import FORMATS
from boneseg.masks.formats.label_studio import _OTHERS, _WORDS, packed
from boneseg.masks.formats.nrrd import ENCODINGS, TYPES
from boneseg.masks.formats.png import _FORMATS
from boneseg.masks.read import read_mask
from tests.support import ROOT
from tests.support.readings import blobs, dicom_film, picture, reading

Mask = NDArray[np.bool_]
HEIGHT, WIDTH = SHAPE = (60, 80)
MASK = blobs()
DOCS = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
SQUARE = [[10, 10], [30, 10], [30, 40], [10, 40]]


def square(left: int = 10, top: int = 10, right: int = 30, bottom: int = 40) -> Mask:
    mask = np.zeros(SHAPE, bool)
    mask[top:bottom, left:right] = True
    return mask


def only_mask(root: Path, name: str, content: str | bytes | Any, **more: Any) -> Mask:
    """The mask of the one film of a dataset, from a file of this name and content."""
    picture(root / "images" / "knee.png")
    path = root / "masks" / name
    path.parent.mkdir(parents=True)
    if not isinstance(content, str | bytes):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    (case,) = open_dataset(root, **more).cases
    return case.read_mask(SHAPE)


# --- pictures ---

KINDS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg .jpeg .jpe .jfif": {"format": "JPEG", "quality": 100},
    ".tif .tiff": {"format": "TIFF"},
    ".bmp": {"format": "BMP"},
    ".gif": {"format": "GIF"},
    ".webp": {"format": "WEBP", "lossless": True},
    ".jp2 .jpx": {"format": "JPEG2000"},
    ".j2k": {"format": "JPEG2000", "no_jp2": True},
    ".pgm .pnm .ppm": {"format": "PPM"},
}
PICTURES = {suffix: how for suffixes, how in KINDS.items() for suffix in suffixes.split()}
MODES = {"PNG": "1LP", "TIFF": "1LP", "BMP": "1LP", "GIF": "1LP", "PPM": "1L"}


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_a_mask_is_read_from_every_kind_of_picture(suffix: str, tmp_path: Path) -> None:
    how = PICTURES[suffix]
    for mode in MODES.get(how["format"], "L"):
        file = io.BytesIO()
        Image.fromarray(MASK.astype(np.uint8) * 255).convert(mode).save(file, **how)
        root = tmp_path / mode
        assert np.array_equal(only_mask(root, f"knee{suffix.upper()}", file.getvalue()), MASK)


def test_every_format_that_pillow_may_open_has_a_suffix() -> None:
    assert {how["format"] for how in PICTURES.values()} == set(_FORMATS)


@pytest.mark.parametrize("mode", ["1", "L"])
def test_a_grey_png_may_have_a_transparent_level(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(MASK.astype(np.uint8) * 255).convert(mode)
    image.save(tmp_path / "ground.png", transparency=0)
    assert np.array_equal(read_mask(tmp_path / "ground.png"), MASK)
    image.save(tmp_path / "bone.png", transparency=1 if mode == "1" else 255)
    with pytest.raises(MaskError, match="is black on transparent"):
        read_mask(tmp_path / "bone.png")


def test_a_gif_may_be_interlaced_transparent_or_in_colour_but_not_animated(tmp_path: Path) -> None:
    grey = Image.fromarray(MASK.astype(np.uint8))
    grey.putpalette([0, 0, 0, 255, 0, 0])
    for name, more in (("a", {"interlace": 1}), ("b", {"transparency": 0})):
        grey.save(tmp_path / f"{name}.gif", **more)
        assert np.array_equal(read_mask(tmp_path / f"{name}.gif", SHAPE), MASK)
    other = Image.fromarray((~MASK).astype(np.uint8))
    other.putpalette([0, 0, 0, 255, 0, 0])
    grey.save(tmp_path / "c.gif", save_all=True, append_images=[other])
    with pytest.raises(MaskError, match="holds several images"):
        read_mask(tmp_path / "c.gif")


# --- files of annotations ---

_WRITTEN_BY = {
    ".json": ("labelme", "coco", "coco-polygons", "label-studio"),
    ".xml": ("cvat",),
    ".txt": ("yolo",),
    ".seg.nrrd": ("nrrd",),
    ".nrrd": ("nrrd",),
    ".nii.gz": ("nifti",),
    ".nii": ("nifti",),
    **dict.fromkeys(DICOM_SUFFIXES, ("dicom-seg",)),
    "": ("dicom-seg",),  # by its mark alone
}


@pytest.mark.parametrize("suffix", [*SUFFIXES, *DICOM_SUFFIXES, ""])
def test_a_mask_is_read_from_every_kind_of_annotation(suffix: str, tmp_path: Path) -> None:
    for kind in _WRITTEN_BY[suffix]:
        root, form = tmp_path / kind, FORMATS[kind]
        make, ending = (dicom_film, "dcm") if kind == "dicom-seg" else (picture, "png")
        film = make(root / "images" / f"knee.{ending}")
        path = root / "masks" / f"knee{suffix}"
        path.parent.mkdir()
        one = reading(film, MASK)
        if form.document:
            form.write_document(path, [form.entry(one)])
        else:
            form.write(path, one)
        if suffix == ".nii":
            path.write_bytes(gzip.decompress(path.read_bytes()))
        (case,) = open_dataset(root).cases
        assert np.array_equal(case.read_mask(SHAPE), MASK)


def rows(table: str) -> dict[str, list[list[str]]]:
    """A table of the docs: the words of each cell by the first cell of their row."""
    lines = DOCS[DOCS.index(table) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: [cell.split(", ") for cell in others] for name, *others in cells}


SHAPES: dict[str, dict[str, Callable[[], tuple[str, Any]]]] = {
    "LabelMe": {
        kind: (lambda kind=kind: ("knee.json", labelme(kind)))
        for kind in (
            *("polygon", "mask", "circle"),
            *("rectangle", "line", "linestrip", "point", "points"),
        )
    },
    "COCO": {
        kind: (lambda kind=kind: ("instances.json", coco_document(kind)))
        for kind in ("polygons", "run lengths as numbers", "run lengths as text", "boxes alone")
    },
    "CVAT for images 1.1": {
        kind: (lambda kind=kind: ("annotations.xml", cvat(kind)))
        for kind in (
            *("polygon", "mask", "ellipse"),
            *("box", "polyline", "points", "cuboid", "skeleton"),
        )
    },
    "Label Studio JSON": {
        kind: (lambda kind=kind: ("project.json", label_studio(kind)))
        for kind in (
            *("brush", "bitmask", "polygon", "ellipse"),
            *("rectangle", "keypoint", "vector"),
        )
    },
    "YOLO": {
        "polygons": lambda: ("knee.txt", yolo_line()),
        "boxes": lambda: ("knee.txt", "0 0.25 0.4 0.25 0.5\n"),
    },
}


def in_png(mask: Mask) -> str:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def labelme(kind: str) -> Any:
    shape: dict[str, Any] = {"label": "bone", "points": SQUARE, "shape_type": kind}
    if kind == "mask":
        shape |= {"points": [[10, 10], [29, 39]], "mask": in_png(square()[10:40, 10:30])}
    elif kind == "circle":
        shape["points"] = [[20, 25], [30, 25]]
    elif kind in ("rectangle", "line"):
        shape["points"] = [[10, 10], [30, 40]]
    elif kind == "point":
        shape["points"] = [[10, 10]]
    return {"shapes": [shape], "imageHeight": HEIGHT, "imageWidth": WIDTH}


def coco_document(kind: str) -> Any:
    one: dict[str, Any] = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 30]}
    runs = coco.encode(np.asfortranarray(square(), np.uint8))
    numbers = [620, *[30, 30] * 19, 30, 4800 - 620 - 60 * 19 - 30]
    if kind == "polygons":
        one["segmentation"] = [[place for point in SQUARE for place in point]]
    elif kind == "run lengths as text":
        one["segmentation"] = {"size": list(SHAPE), "counts": runs["counts"].decode()}
    elif kind == "run lengths as numbers":
        numbers[0] = 10 * HEIGHT + 10
        numbers[-1] = HEIGHT * WIDTH - sum(numbers[:-1])
        one["segmentation"] = {"size": list(SHAPE), "counts": numbers}
    image = {"id": 1, "file_name": "knee.png", "height": HEIGHT, "width": WIDTH}
    return {"images": [image], "annotations": [one], "categories": [{"id": 1, "name": "bone"}]}


def cvat(kind: str) -> str:
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    facts = {
        "polygon": f'points="{points}"',
        "mask": 'rle="0, 600" left="10" top="10" width="20" height="30"',
        "ellipse": 'cx="20" cy="25" rx="10" ry="15"',
        "box": 'xtl="10" ytl="10" xbr="30" ybr="40"',
        "cuboid": 'xtl1="10" ytl1="10"',
    }.get(kind, f'points="{points}"')
    image = f'<image id="0" name="knee.png" width="{WIDTH}" height="{HEIGHT}">'
    shape = f'<{kind} label="bone" {facts}/><tag label="left"/>'
    return f"<annotations>{image}{shape}</image></annotations>"


def label_studio(kind: str) -> Any:
    value: dict[str, Any] = {"x": 12.5, "y": 100 / 6, "width": 25, "height": 50}
    if kind == "polygon":
        value = {"points": [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in SQUARE]}
    elif kind == "ellipse":
        value = {"x": 25, "y": 250 / 6, "radiusX": 12.5, "radiusY": 25, "rotation": 0}
    elif kind == "brush":
        value = {"format": "rle", "rle": packed(square())}
    elif kind == "bitmask":
        pixels, file = np.zeros((*SHAPE, 4), np.uint8), io.BytesIO()
        pixels[..., 3] = square() * 255
        Image.fromarray(pixels).save(file, "PNG")
        text = base64.b64encode(file.getvalue()).decode()
        value = {"imageDataURL": f"data:image/png;base64,{text}"}
    sizes = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    result = sizes | {"type": f"{kind}labels", "value": value | {f"{kind}labels": ["bone"]}}
    return [{"data": {"image": "knee.png"}, "annotations": [{"result": [result]}]}]


def yolo_line(number: str = "0", end: str = "\n") -> str:
    return f"{number} " + " ".join(f"{x / WIDTH} {y / HEIGHT}" for x, y in SQUARE) + end


def test_the_shapes_that_the_docs_name_are_those_tested() -> None:
    named = rows("| format | read | not read |")
    for name, kinds in SHAPES.items():
        assert set(kinds) == set(named[name][0] + named[name][1])


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kinds in SHAPES.items() for kind in kinds]
)
def test_a_shape_is_painted_or_refused_by_its_name(name: str, kind: str, tmp_path: Path) -> None:
    painted, _ = rows("| format | read | not read |")[name]
    file, content = SHAPES[name][kind]()
    if kind not in painted:
        with pytest.raises(MaskError, match=r"labelled (bone|0), which does not follow"):
            only_mask(tmp_path, file, content)
        return
    mask = only_mask(tmp_path, file, content)
    if kind in ("circle", "ellipse"):
        area = np.pi * 10 * (10 if kind == "circle" else 15)
        assert mask.sum() == pytest.approx(area, abs=6)
        assert mask[25, 20]
    else:
        assert np.array_equal(mask, square())


@pytest.mark.parametrize("kind", sorted(_OTHERS))
def test_other_regions_of_label_studio_are_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=f"holds {_OTHERS[kind]} labelled bone"):
        only_mask(tmp_path, "project.json", label_studio(kind))


@pytest.mark.parametrize("kind", sorted(_WORDS - {"labels"}))
def test_what_label_studio_says_of_a_film_draws_nothing(kind: str, tmp_path: Path) -> None:
    document = label_studio("polygon")
    said = {"type": kind, "value": {kind: ["left"]}, "from_name": "side"}
    document[0]["annotations"][0]["result"].append(said)
    assert np.array_equal(only_mask(tmp_path, "project.json", document), square())


@pytest.mark.parametrize("label", sorted(_HOLES))
def test_every_word_for_a_hole_cuts_it_out(label: str, tmp_path: Path) -> None:
    document = labelme("polygon")
    hole = [[12, 12], [20, 12], [20, 20], [12, 20]]
    document["shapes"].append({"label": label.upper(), "points": hole})
    found = only_mask(tmp_path, "knee.json", document)
    assert np.array_equal(found, square() & ~square(12, 12, 20, 20))


@pytest.mark.parametrize("label", sorted(_DOUBTFUL))
def test_every_word_for_nobody_knows_is_refused(label: str, tmp_path: Path) -> None:
    document = labelme("polygon")
    document["shapes"][0]["label"] = label.title()
    with pytest.raises(MaskError, match="unclear whether"):
        only_mask(tmp_path, "knee.json", document)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + yolo_line(),
        yolo_line("0.0"),
        yolo_line("3").replace(" ", "\t"),
        yolo_line(end="\r\n"),
        "\n\n" + yolo_line() + "\n  \n",
        yolo_line("-0"),
        yolo_line("1e0"),
    ],
    ids=["BOM", "0.0", "tabs", "CRLF", "empty lines", "-0", "1e0"],
)
def test_yolo_is_read_however_it_is_written(text: str, tmp_path: Path) -> None:
    assert np.array_equal(only_mask(tmp_path, "knee.txt", text), square())


# --- NRRD and NIfTI ---


def nrrd_file(
    values: NDArray[Any], kind: str, encoding: str, order: str = "<", more: str = ""
) -> bytes:
    """A plain NRRD of height x width values."""
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    if encoding in ("txt", "text", "ascii"):
        data = " ".join(map(str, values.ravel().tolist())).encode()
    elif encoding == "hex":
        data = data.hex().encode()
    elif encoding in ("gz", "gzip"):
        data = gzip.compress(data)
    elif encoding in ("bz2", "bzip2"):
        data = bz2.compress(data)
    endian = "little" if order == "<" else "big"
    header = f"NRRD0004\ntype: {kind}\ndimension: 2\nsizes: {values.shape[1]} {values.shape[0]}\n"
    return f"{header}endian: {endian}\nencoding: {encoding}\n{more}\n".encode() + data


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_nrrd_is_read(encoding: str, tmp_path: Path) -> None:
    for index, (code, order) in enumerate((("u1", "<"), ("i2", "<"), ("u2", ">"))):
        labels = MASK.astype(code) * 3
        kind = next(word for word, known in TYPES.items() if known == code)
        file = nrrd_file(labels, kind, encoding, order)
        assert np.array_equal(only_mask(tmp_path / str(index), "knee.nrrd", file), MASK)


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_nrrd_is_read(kind: str, tmp_path: Path) -> None:
    file = nrrd_file(MASK.astype(TYPES[kind]) * 2, kind, "raw")
    found = only_mask(tmp_path, "knee.nrrd", file, labels=["2"])
    assert np.array_equal(found, MASK)


@pytest.mark.parametrize("space", ["left-posterior-superior", "LPS", "RAS", "LAS"])
def test_every_space_of_nrrd_is_read_and_its_mirror_refused(space: str, tmp_path: Path) -> None:
    x, y = (-1 if word == "R" else 1 for word in space[:1].upper()), (-1 if "A" in space else 1)
    (x,) = x
    for name, sign in (("a", 1), ("b", -1)):
        axes = f"space: {space}\nspace directions: ({x * sign},0,0) (0,{y},0)\n"
        file = nrrd_file(MASK.astype(np.uint8), "uint8", "raw", more=axes)
        if sign > 0:
            assert np.array_equal(only_mask(tmp_path / name, "knee.nrrd", file), MASK)
        else:
            with pytest.raises(MaskError, match="is turned or mirrored"):
                only_mask(tmp_path / name, "knee.nrrd", file)


NIFTI_TYPES = ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f4")


@pytest.mark.parametrize("dtype", NIFTI_TYPES)
@pytest.mark.parametrize("make", [nibabel.nifti1.Nifti1Image, nibabel.nifti2.Nifti2Image])
def test_every_type_of_nifti_is_read(dtype: str, make: Any, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "knee.png")
    (tmp_path / "masks").mkdir()
    volume = (MASK.T[:, :, None] * 3).astype(dtype)
    endian = nibabel.nifti1.Nifti1Header if make is nibabel.nifti1.Nifti1Image else None
    header = endian(endianness=">") if endian and dtype[0] == ">" else None
    image = make(volume, np.diag([-1, -1, 1, 1]), header, dtype=volume.dtype)
    nibabel.save(image, tmp_path / "masks" / "knee.nii")
    (case,) = open_dataset(tmp_path, labels=["3"]).cases
    assert np.array_equal(case.read_mask(SHAPE), MASK)


@pytest.mark.parametrize("shape", [(80, 60), (80, 60, 1), (80, 60, 1, 1)])
def test_a_nifti_of_one_slice_has_any_number_of_axes(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    volume = MASK.T.astype(np.uint8).reshape(shape)
    image = nibabel.nifti1.Nifti1Image(volume, np.diag([-0.2, -0.2, 1, 1]))
    image.set_qform(image.affine)
    image.set_sform(None)  # the axes as a quaternion, with its rounding
    nibabel.save(image, tmp_path / "knee.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "knee.nii.gz", SHAPE), MASK)


def test_a_film_too_long_for_nifti_1_is_written(tmp_path: Path) -> None:
    mask = np.zeros((33_000, 170), bool)
    mask[32_900:, 3:9] = True
    film = picture(tmp_path / "leg.png", *mask.shape)
    FORMATS["nifti"].write(tmp_path / "leg.nii.gz", reading(film, mask))
    assert np.array_equal(read_mask(tmp_path / "leg.nii.gz", (33_000, 170)), mask)
