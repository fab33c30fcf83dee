"""The film check on real films and on other images: `results/bundled-model.md`.

    python -m benchmarks.accuracy.film_check --photographs PACKAGES --ct cxr.nii.gz --mr TEMPLATES \
        --head Cranium.inv3

Half of the real films, told by a hash of the name, place the threshold (`--place` writes it into
the weights: 2 % of them fall below it, each set counting alike); all figures are of the other half.
PACKAGES holds a folder for each package of photographs, none of which the training saw; the CT is
the one of the training, of which it saw the lower half alone. What is absent is told.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import plistlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.data import get_testdata_file
from safetensors.numpy import load_file, save_file

from boneseg.bundle.shipped import film_check_weights
from boneseg.inference.plausibility import SIDE, load_film_check
from boneseg.masks.formats.png import save_png
from boneseg.preprocessing import resize
from boneseg.radiograph.greyscale import stretch
from boneseg.radiograph.read import read_radiograph

Grey = NDArray[np.float32]
Pictures = list[tuple[str, Grey]]  # name and pixels

LABELLED = ("legs", "knee-femur", "knee-tibia", "spine")
WINDOWS = ((-600, 1500), (40, 400), (400, 1800))  # level and width: lung, soft parts, bone
SLICES = 8  # slices of a volume in each direction
ALLOWED = 0.01  # of the real films
LEAST_BYTES = 12_000  # of a photograph; smaller ones are icons
NO_PHOTOGRAPHS = {  # pages, patterns, logos, masks, clips, and one board 26 times
    "opencv-doc": (
        "notes", "sudoku", "imageText", "text_", "digits", "ml.", "gradient", "mask", "chess",
        "logo", "Logo", "pic", "templ", "tmpl", "detect_blob", "ellipses", "left", "right",
        "aloeGT", "ela_",
    ),
    "scikit-image": (
        "page", "text", "chess", "color", "logo", "phantom", "horse", "microaneurysms", "clock",
        "motorcycle_right",
    ),
}  # fmt: skip
DICOM = {  # of pydicom's own tests
    "CT slices, pydicom": ("693_J2KI.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm"),
    "MR slices, pydicom": ("MR_small.dcm", "examples_overlay.dcm"),
    "ultrasound, pydicom": (
        "examples_jpeg2k.dcm", "examples_palette.dcm", "examples_rgb_color.dcm",
        "examples_ybr_color.dcm",
    ),
}  # fmt: skip


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--data", type=Path, default=Path("../shared/data"))
    words.add_argument("--photographs", type=Path)
    words.add_argument("--ct", type=Path)
    words.add_argument("--mr", type=Path, help="a folder of NIfTI volumes")
    words.add_argument("--head", type=Path, help="a CT of a head, InVesalius")
    words.add_argument("--place", action="store_true", help="the threshold, in the weights")
    words.add_argument("--sheets", type=Path, help="a folder for pictures of what went wrong")
    asked = words.parse_args()
    films = {name: pictures for name, pictures in real_films(asked.data) if pictures}
    if asked.place:
        place([[logit(p) for n, p in pictures if places(n)] for pictures in films.values()])
    print("| pictures | number | warned of |\n|---|---|---|")
    shares = []
    for name, pictures in films.items():
        judged = [picture for picture in pictures if not places(picture[0])]
        shares.append(tell(f"real films: {name}", judged, asked.sheets, wanted=False))
    if shares:
        print(f"| **real films**, each set alike | | {np.mean(shares):.1%} |")
    for name, pictures in no_films(asked):
        if pictures:
            tell(name, pictures, asked.sheets, wanted=True)
        else:
            print(f"| {name} | absent | |")


def tell(name: str, pictures: Pictures, sheets: Path | None, *, wanted: bool) -> float:
    """A row of the table, and a sheet of the errors; the share with a warning."""
    warned = [logit(pixels) < 0 for _, pixels in pictures]
    share = float(np.mean(warned))
    print(f"| {name} | {len(warned)} | {sum(warned)} ({share:.1%}) |", flush=True)
    wrong = [picture for picture, told in zip(pictures, warned, strict=True) if told != wanted]
    if sheets is not None and wrong:
        sheets.mkdir(parents=True, exist_ok=True)
        draw(wrong, sheets / f"{name.replace(':', '').replace(' ', '-')}.png")
    return share


def logit(pixels: Grey) -> float:
    """The logit of an image; below 0 there is a warning."""
    return load_film_check(film_check_weights()).logit(pixels)


def places(name: str) -> bool:
    """Whether a film is in the half that determines the threshold."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 0


def place(sets: list[list[float]]) -> None:
    """Set the threshold so that ALLOWED of these logits are below it, with equal weight per set."""
    logits = np.concatenate(sets)
    shares = np.concatenate([np.full(len(one), 1 / len(one) / len(sets)) for one in sets])
    order = np.argsort(logits)
    threshold = logits[order][np.searchsorted(np.cumsum(shares[order]), ALLOWED)]
    values = load_file(film_check_weights())
    values["head.bias"] = (values["head.bias"] - threshold).astype(np.float16)
    save_file(values, film_check_weights())
    load_film_check.cache_clear()
    print(f"the threshold moves by {threshold:+.2f}, by {len(logits)} films\n")


def real_films(data: Path) -> Iterator[tuple[str, Pictures]]:
    """Each set of radiographs."""
    for name in LABELLED:
        yield name, read(sorted((data / name / "images").glob("*.png")))
    others = [*sorted((data / "unlabelled").glob("*.png")), *sorted((data / "dicom").glob("*.dcm"))]
    yield "others", read(others)


def read(paths: list[Path]) -> Pictures:
    return [(path.name, read_radiograph(path).pixels) for path in paths]


def no_films(asked: argparse.Namespace) -> Iterator[tuple[str, Pictures]]:
    """Each kind of picture that is not a radiograph."""
    folders = sorted(asked.photographs.iterdir()) if asked.photographs else []
    yield from ((f"photographs: {folder.name}", photographs(folder)) for folder in folders)
    if not folders:
        yield "photographs", []
    yield "CT slices, chest, upper half", list(chest(asked.ct)) if asked.ct else []
    yield "CT slices, head", list(head(asked.head)) if asked.head else []
    paths = sorted(asked.mr.glob("*.nii.gz")) if asked.mr else []
    yield "MR slices, brains", [plane for path in paths for plane in brain(path)]
    for kind, names in DICOM.items():
        yield kind, [picture for name in names for picture in dicom(name, kind)]
    yield "pages of text", list(pages())
    yield "blanks and slopes", list(blanks())


def photographs(folder: Path) -> Pictures:
    """Every picture below a folder that is a photograph, in grey, transparency on black."""
    found = []
    for path in sorted(folder.rglob("*")):
        chosen = path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp")
        others = NO_PHOTOGRAPHS.get(folder.name, ())
        if not chosen or path.stat().st_size < LEAST_BYTES or any(n in path.name for n in others):
            continue
        image = Image.open(path).convert("RGBA")
        if min(image.size) >= 100:
            ground = Image.new("RGBA", image.size, "black")
            ground.alpha_composite(image)
            found.append((path.name, np.asarray(ground.convert("L"), np.float32) / 255))
    return found


def chest(path: Path) -> Iterator[tuple[str, Grey]]:
    """Slices of the upper half of a CT, in three windows."""
    volume = np.asarray(nibabel.load(path).dataobj, np.float32)
    for name, plane in slices(volume[:, :, volume.shape[2] // 2 :]):
        yield from windowed(name, np.rot90(plane))


def head(path: Path) -> Iterator[tuple[str, Grey]]:
    """Slices of the CT in a project of InVesalius, in three windows."""
    with tarfile.open(path) as archive:
        members = {Path(member.name).name: member for member in archive.getmembers()}
        facts, matrix = (archive.extractfile(members[n]) for n in ("main.plist", "matrix.dat"))
        if facts is None or matrix is None:
            raise SystemExit(f"{path}: holds no volume")
        shape = plistlib.loads(facts.read())["matrix"]["shape"]
        volume = np.frombuffer(matrix.read(), np.int16).reshape(shape).astype(np.float32)
    for name, plane in slices(volume):
        yield from windowed(name, plane)


def brain(path: Path) -> Iterator[tuple[str, Grey]]:
    """Slices of a volume, with the contrast that boneseg gives a picture of unknown range."""
    for name, plane in slices(np.asarray(nibabel.load(path).dataobj, np.float32)):
        yield f"{path.name} {name}", stretch(np.rot90(plane))


def slices(volume: Grey) -> Iterator[tuple[str, Grey]]:
    """SLICES slices across each axis."""
    for axis in range(3):
        for share in np.linspace(0.15, 0.85, SLICES):
            yield f"{axis} at {share:.0%}", np.take(volume, int(share * volume.shape[axis]), axis)


def windowed(name: str, plane: Grey) -> Iterator[tuple[str, Grey]]:
    for level, width in WINDOWS:
        yield f"{name}, {width} HU", np.clip((plane - level) / width + 0.5, 0, 1)


def dicom(name: str, kind: str) -> Iterator[tuple[str, Grey]]:
    """A file of pydicom's tests: CT in three windows, the rest as it is."""
    found = get_testdata_file(name, download=False)
    if not found:
        return
    dataset = dcmread(found)
    values = np.asarray(dataset.pixel_array, np.float32)
    if kind.startswith("CT"):
        yield from windowed(name, values * dataset.RescaleSlope + dataset.RescaleIntercept)
    elif kind.startswith("MR"):
        yield name, stretch(values)
    else:
        values = values[0] if values.ndim == 4 else values
        yield name, (values.mean(axis=-1) if values.ndim == 3 else values) / 255


def pages() -> Iterator[tuple[str, Grey]]:
    """The project's text files, rendered: 4 sizes, black on white and white on black."""
    root = Path(__file__).parents[2]
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for number, size in enumerate((10, 16, 24, 40)):
            paper, ink = (255, 0) if number % 2 else (0, 255)
            page = Image.new("L", (600, 800), paper)
            font = ImageFont.load_default(size)
            ImageDraw.Draw(page).text((30, 30), text, fill=ink, font=font)
            yield f"{path.stem} {size}", np.asarray(page, np.float32) / 255


def blanks() -> Iterator[tuple[str, Grey]]:
    """One grey, with noise and without; slopes; noise alone."""
    noise = np.random.default_rng(0)
    for grey in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        for much in (0.0, 0.02, 0.1):
            values = np.clip(grey + much * noise.normal(size=(300, 400)), 0, 1)
            yield f"{grey} {much}", values.astype(np.float32)
    across = np.linspace(0, 1, 300, dtype=np.float32)
    yield from (
        ("across", np.tile(across, (400, 1))),
        ("down", np.tile(across[:, None], (1, 400))),
        ("aslant", (across[:, None] + across) / 2),
        ("round", np.hypot(across[:, None] - 0.5, across - 0.5)),
        ("halves", np.tile((across > 0.5).astype(np.float32), (400, 1))),
        ("noise", noise.random((300, 400), dtype=np.float32)),
    )


def draw(pictures: Pictures, out: Path, columns: int = 10) -> None:
    """A contact sheet of images as the check sees them."""
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("L", (columns * SIDE, rows * (SIDE + 12)))
    for index, (name, pixels) in enumerate(pictures):
        at = index % columns * SIDE, index // columns * (SIDE + 12)
        small = np.rint(255 * np.clip(resize(pixels, (SIDE, SIDE)), 0, 1)).astype(np.uint8)
        sheet.paste(Image.fromarray(small), at)
        ImageDraw.Draw(sheet).text((at[0], at[1] + SIDE), name[:20], fill=255)
    save_png(out, sheet)


if __name__ == "__main__":
    main()
