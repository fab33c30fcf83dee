"""Bones by name: written in every format with labels, read back by evaluate, or refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nrrd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from boneseg.bundle.shipped import sample_films
from boneseg.bundle.store import Bundle
from boneseg.errors import OutputError
from boneseg.masks.annotations import read_named
from boneseg.masks.formats import NAMED_FORMAT
from boneseg.masks.formats.png import write_bones, write_mask
from boneseg.masks.output import write_outputs
from boneseg.masks.segmentation import Segmentation
from boneseg.masks.types import Mask
from tests.support.command_line import boneseg
from tests.support.named_bones import knee
from tests.support.readings import card, dicom_film, picture, reading, written

SHAPE = (60, 80)
BONES: dict[str, Mask] = {}
for _name, _columns in {"hip bone": (5, 40), "femur": (30, 60), "toes": (70, 75)}.items():
    BONES[_name] = np.zeros(SHAPE, bool)
    BONES[_name][10:50, slice(*_columns)] = True
REST = np.zeros(SHAPE, bool)
REST[55:58, 20:25] = True  # bone that no name claims
WHOLE = np.any([*BONES.values(), REST], axis=0)
FORMATS = ("nrrd", "labelme", "coco", "coco-polygons", "cvat", "label-studio")


def named(film: Path) -> Segmentation:
    return replace(reading(film, WHOLE, card()), named=BONES)


def expected() -> dict[str, Mask]:
    return BONES | {"bone": REST}


def same(found: dict[str, Mask], wanted: dict[str, Mask]) -> bool:
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[name], mask) for name, mask in wanted.items()
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_names_survive_each_format_with_labels_even_where_bones_overlap(
    kind: str, tmp_path: Path
) -> None:
    film = picture(tmp_path / "knee.png")
    drawn = replace(named(film), model=None)  # Label Studio has others as unaccepted predictions
    path = written(kind, drawn, tmp_path)
    of_one_film = path.name.startswith("film")
    assert same(read_named(path, SHAPE, film=None if of_one_film else "knee.png"), expected())


def test_a_segmentation_has_a_segment_for_each_bone_with_its_code(tmp_path: Path) -> None:
    film = dicom_film(tmp_path / "knee.dcm")
    path = written("dicom-seg", named(film), tmp_path)
    assert same(read_named(path, SHAPE), expected())
    segments = pydicom.dcmread(path).SegmentSequence
    types = [segment.SegmentedPropertyTypeCodeSequence[0] for segment in segments]
    assert [(one.CodingSchemeDesignator, one.CodeValue) for one in types] == [
        ("SCT", "28254004"), ("SCT", "71341001"), ("SCT", "28641004"), ("SCT", "272673000"),
    ]  # fmt: skip
    assert segments[2].AnatomicRegionSequence[0].CodeMeaning == "Foot"
    assert [one.SegmentLabel for one in segments] == ["Hip bone", "Femur", "Toes", "Bone"]
    plain = written("dicom-seg", replace(named(film), named=None), tmp_path / "..")
    uids = {pydicom.dcmread(one).SOPInstanceUID for one in (path, plain)}
    plain.unlink()
    assert len(uids) == 2


def test_only_bones_that_overlap_take_another_layer_of_a_seg_nrrd(tmp_path: Path) -> None:
    path = written("nrrd", named(picture(tmp_path / "knee.png")), tmp_path)
    data, header = nrrd.read(str(path))
    assert data.shape == (2, 80, 60, 1) and header["kinds"] == [
        "list",
        "domain",
        "domain",
        "domain",
    ]
    layers = {header[f"Segment{n}_Name"]: header[f"Segment{n}_Layer"] for n in range(4)}
    assert layers == {"Hip bone": "0", "Femur": "1", "Toes": "0", "Bone": "0"}
    assert (
        "SCT^28641004^Phalanx~^^~Anatomic codes - DICOM master list~SCT^56459004^Foot"
        in (header["Segment2_Tags"])
    )


def test_a_bone_is_the_same_category_in_every_coco_document(tmp_path: Path) -> None:
    film = picture(tmp_path / "knee.png")
    documents = [
        json.loads(written("coco", one, tmp_path).read_text())
        for one in (named(film), replace(named(film), named={"toes": BONES["toes"]}))
    ]
    kinds = [{kind["name"]: kind["id"] for kind in one["categories"]} for one in documents]
    assert kinds[0] == kinds[1] and kinds[0]["bone"] == 1 and len(kinds[0]) == 25
    plain = json.loads(written("coco", replace(named(film), named=None), tmp_path).read_text())
    assert plain["categories"] == [{"id": 1, "name": "bone", "supercategory": ""}]


# --- the folder of masks ---


def test_a_folder_has_a_mask_for_each_bone(tmp_path: Path) -> None:
    folder = tmp_path / f"knee{NAMED_FORMAT.suffix}"
    write_bones(folder, named(picture(tmp_path / "knee.png")))
    names = {path.name for path in folder.iterdir()}
    assert names == {"hip_bone.png", "femur.png", "toes.png", "bone.png"}
    assert same(read_named(folder, SHAPE), expected()) and same(read_named(folder), expected())


def test_masks_of_bones_that_are_gone_are_removed_and_other_files_are_not(tmp_path: Path) -> None:
    film, folder = picture(tmp_path / "knee.png"), tmp_path / "knee_bones"
    write_bones(folder, named(film))
    write_bones(folder, replace(named(film), named={"femur": WHOLE}))
    assert [path.name for path in folder.iterdir()] == ["femur.png"]
    Image.fromarray(WHOLE).save(folder / "drawn.png")
    with pytest.raises(Exception, match="did not write"):
        write_bones(folder, named(film))
    assert {path.name for path in folder.iterdir()} == {"femur.png", "drawn.png"}


def test_a_call_that_fails_removes_nothing_that_it_has_not_written(tmp_path: Path) -> None:
    """Somebody may have corrected it."""
    found, out = named(picture(tmp_path / "knee.png")), tmp_path / "out" / "knee"
    kinds = ["mask", "overlay", "labelme", "bones"]
    out.parent.mkdir()
    write_outputs(found, out, kinds)
    Image.fromarray(WHOLE).save(tmp_path / "out" / "knee_bones" / "femur.png")
    before = contents(out.parent)
    with pytest.raises(OutputError, match="knee_bones: holds files that boneseg did not write"):
        write_outputs(found, out, kinds)
    assert contents(out.parent) == before
    (tmp_path / "out" / "knee_overlay.png").unlink()
    (tmp_path / "out" / "knee_overlay.png").mkdir()  # so that it cannot be written
    with pytest.raises(OutputError, match=r"knee_overlay\.png"):
        write_outputs(found, out, ["mask", "overlay", "labelme"])
    left = contents(out.parent)
    assert left["knee.json"] == before["knee.json"] and "knee_mask.png" not in left


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# --- the command line ---


def save_knee(path: Path, seed: int, size: tuple[int, int] = (128, 128)) -> dict[str, Mask]:
    film, femur, tibia = knee(np.random.default_rng(seed), *size)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((film * 255).round().astype(np.uint8)).save(path)
    return {"femur": femur, "tibia": tibia}


@pytest.fixture(scope="module")
def segmented(named_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of films, of drawn masks with names, and of what a model found on them."""
    root = tmp_path_factory.mktemp("named")
    for number in range(2):
        for name, mask in save_knee(root / f"images/{number}.png", number).items():
            (root / f"masks/{number}_bones").mkdir(parents=True, exist_ok=True)
            write_mask(root / f"masks/{number}_bones/{name}.png", mask)
    words = ["--model", named_bundle.path, "--format", "mask,overlay,nrrd,coco"]
    done = boneseg("segment", root / "images", "--out", root / "out", "--bones", *words)
    assert done.returncode == 0, done.stderr
    assert "femur, tibia" in done.stderr
    return root


def test_the_report_lists_the_bones_with_their_areas(segmented: Path) -> None:
    for result in json.loads((segmented / "out/segment.json").read_text()):
        folder = segmented / "out" / result["outputs"]["bones"]
        areas = {one["name"]: one["area_px"] for one in result["bones"]}
        masks = read_named(folder)
        assert areas == {name: mask.sum() for name, mask in masks.items() if name != "bone"}
        whole = np.asarray(Image.open(segmented / "out" / result["outputs"]["mask"])) > 0
        assert np.array_equal(np.any([*masks.values()], axis=0), whole)
        assert result["bones"][0]["area_mm2"] is None


@pytest.mark.parametrize("kind", ["folder", "nrrd", "coco"])
def test_evaluate_reads_each_format_back(segmented: Path, kind: str, tmp_path: Path) -> None:
    found, out = tmp_path / "found", segmented / "out"
    found.mkdir()
    for path in out.glob({"folder": "*_bones", "nrrd": "*.seg.nrrd", "coco": "coco.json"}[kind]):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, found / path.name)
    table = tmp_path / "bones.csv"
    done = boneseg("evaluate", segmented, "--masks", found, "--bones", "--json", "--out", table)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["bones"]
    assert scores.keys() == {"femur", "tibia"} and scores["femur"]["films"] == 2
    assert all(score["mean"]["dice"] > 0.9 for score in scores.values())
    assert table.read_text().splitlines()[0] == "name,bone,recall,precision,dice"


def test_a_model_is_scored_as_its_masks_are(segmented: Path, named_bundle: Bundle) -> None:
    words = ["evaluate", segmented, "--bones"]
    own = boneseg(*words, "--model", named_bundle.path)
    masks = boneseg(*words, "--masks", segmented / "out" / "coco.json")
    assert own.returncode == 0, own.stderr
    assert own.stdout == masks.stdout and "recall" in own.stdout


def test_a_film_without_named_masks_fails_by_name(segmented: Path, tmp_path: Path) -> None:
    shutil.copytree(segmented / "out" / "0_bones", tmp_path / "0_bones")
    done = boneseg("evaluate", segmented, "--masks", tmp_path, "--bones")
    assert done.returncode == 1
    assert "has no masks with names for 1; segment it with --bones" in done.stderr


def test_a_later_call_without_bones_keeps_their_folder(
    segmented: Path, named_bundle: Bundle, tmp_path: Path
) -> None:
    out = shutil.copytree(segmented / "out", tmp_path / "out")
    words = ["segment", segmented / "images/0.png", "--out", out, "--model", named_bundle.path]
    assert boneseg(*words).returncode == 0
    assert (out / "0_bones/femur.png").is_file()


def test_a_film_cannot_take_the_folder_of_another(named_bundle: Bundle, tmp_path: Path) -> None:
    for name in ("a/knee.png", "b/knee.png"):
        save_knee(tmp_path / name, 0, (32, 32))
    words = ["--out", tmp_path / "out", "--bones", "--model", named_bundle.path]
    done = boneseg("segment", tmp_path / "a", tmp_path / "b", *words)
    assert done.returncode == 0, done.stderr
    folders = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert folders == {"knee_bones", "knee-2_bones"}


@pytest.mark.parametrize("verb", ["segment", "evaluate"])
def test_a_model_without_names_is_refused_in_one_line(
    verb: str, nameless_bundle: Bundle, segmented: Path, tmp_path: Path
) -> None:
    bundle = nameless_bundle.path
    where = [sample_films(), "--out", tmp_path / "out"] if verb == "segment" else [segmented]
    done = boneseg(verb, *where, "--model", bundle, "--bones")
    assert done.returncode == 2
    assert done.stderr == (f"error: {bundle}: does not name bones; choose a model that does\n")
    assert not (tmp_path / "out").exists()


def test_bones_are_named_on_the_films_own_grid(named_bundle: Bundle, tmp_path: Path) -> None:
    from boneseg.inference.engine import Engine

    film, femur, tibia = knee(np.random.default_rng(3), 300, 300)
    found = Engine(named_bundle).find(film)
    for mask, truth in ((found.bones["femur"], femur), (found.bones["tibia"], tibia)):
        assert share(mask, truth) > 0.9
    together = np.any([*found.bones.values()], axis=0)
    assert not (together & ~found.mask).any()


def share(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Their intersection over their union."""
    return float((one & other).sum() / (one | other).sum())


def test_the_benchmark_scores_femur_and_tibia_of_drawn_masks(
    named_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.accuracy import bones

    for name, drawn in bones.SETS.items():
        for number in range(2):
            masks = save_knee(tmp_path / name / "images" / f"{number}.png", number)
            (tmp_path / name / "masks").mkdir(exist_ok=True)
            whole = np.any([masks[bone] for bone in drawn], axis=0)
            write_mask(tmp_path / name / "masks" / f"{number}.png", whole)
    out = tmp_path / "rows.json"
    words = ["--data", tmp_path, "--model", named_bundle.path, "--out", out]
    monkeypatch.setattr("sys.argv", ["bones", *map(str, words)])
    bones.main()
    rows = json.loads(out.read_text())
    assert [(row["set"], row["bone"], row["films"]) for row in rows] == [
        ("legs", "femur and tibia", 2), ("knee-femur", "femur", 2), ("knee-tibia", "tibia", 2),
    ]  # fmt: skip
    assert all(row["recall"] > 0.9 and row["precision"] > 0.9 for row in rows)
