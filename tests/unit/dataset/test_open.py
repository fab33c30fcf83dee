"""Pairs are made by name, and no split lets a film, its twin or its patient stand on both sides."""

from __future__ import annotations

import io
import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from boneseg.dataset.load import fingerprint, read_films
from boneseg.dataset.open import Case, Dataset, open_dataset
from boneseg.dataset.splits import hold_out, name_hash_split, split_folds, thumbnail, twins
from boneseg.errors import DatasetError, UsageError
from boneseg.evaluation.evaluate import evaluate_masks, write_cases_csv
from tests.support.films import DATA

Film = NDArray[np.float32]


def folder(root: Path, *names: str, **tables: str) -> Path:
    """A data folder with these (empty) files and tables."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    for name, text in tables.items():
        (root / f"{name}.csv").write_text(text, encoding="utf-8")
    return root


def paired(dataset: Dataset) -> dict[str, str]:
    return {case.image.name: case.mask.name for case in dataset.cases}


def case(name: str, group: str | None = None, part: str | None = None) -> Case:
    return Case(name, Path(f"{name}.png"), Path(f"{name}_mask.png"), group, part)


# --- pairing ---


@pytest.mark.parametrize(("films", "masks"), [("images", "masks"), ("all_images", "labels")])
def test_both_layouts_are_known(films: str, masks: str, tmp_path: Path) -> None:
    folder(tmp_path, f"{films}/a.png", f"{masks}/a.png", f"{films}/b.jpg", f"{masks}/b.png")
    dataset = open_dataset(tmp_path)
    assert [case.name for case in dataset.cases] == ["a", "b"]
    assert dataset.root == tmp_path


def test_two_folders_of_any_name_will_do(tmp_path: Path) -> None:
    folder(tmp_path, "x/a.png", "y/a.tif")
    dataset = open_dataset(None, images=tmp_path / "x", masks=tmp_path / "y")
    assert paired(dataset) == {"a.png": "a.tif"}


def test_one_named_folder_takes_the_place_of_its_half(tmp_path: Path) -> None:
    folder(tmp_path, "images/a.png", "masks/a.png", "other/a.bmp")
    assert paired(open_dataset(tmp_path, masks=tmp_path / "other")) == {"a.png": "a.bmp"}


def test_pairs_are_by_name_and_never_by_order(tmp_path: Path) -> None:
    folder(tmp_path, "images/1.png", "images/2.png", "images/3.png", "masks/2.png", "masks/9.png")
    dataset = open_dataset(tmp_path)
    assert paired(dataset) == {"2.png": "2.png"}
    assert [path.name for path in dataset.unpaired_images] == ["1.png", "3.png"]
    assert [path.name for path in dataset.unpaired_masks] == ["9.png"]


@pytest.mark.parametrize(
    "mask", ["Knee_mask.png", "knee-SEG.tif", "knee_label.bmp", "knee.gt.png", "KNEE labels.png"]
)
def test_a_mask_may_say_that_it_is_one(mask: str, tmp_path: Path) -> None:
    folder(tmp_path, "images/knee.jpg", f"masks/{mask}")
    assert paired(open_dataset(tmp_path)) == {"knee.jpg": mask}


def test_a_film_may_say_that_it_is_one(tmp_path: Path) -> None:
    folder(tmp_path, "images/knee_image.png", "masks/knee_mask.png", "images/hip.png")
    assert paired(open_dataset(tmp_path)) == {"knee_image.png": "knee_mask.png"}


def test_the_name_itself_is_stronger_than_its_ending(tmp_path: Path) -> None:
    folder(tmp_path, "images/a.png", "images/a_seg.png", "masks/a.png", "masks/a_seg.png")
    assert paired(open_dataset(tmp_path)) == {"a.png": "a.png", "a_seg.png": "a_seg.png"}


def test_an_accent_may_be_kept_apart_from_its_letter(tmp_path: Path) -> None:
    apart, joined = (unicodedata.normalize(form, "hüfte") for form in ("NFD", "NFC"))
    names = (f"images/{apart}.png", f"masks/{joined}_mask.png")
    dataset = open_dataset(folder(tmp_path, *names, groups=f"{joined.title()},P1\n"))
    assert [(case.name, case.group) for case in dataset.cases] == [(apart, "P1")]


def test_one_folder_may_hold_films_and_masks(tmp_path: Path) -> None:
    folder(tmp_path, "a.png", "a_mask.png", "b.png", "b_mask.png")
    dataset = open_dataset(None, images=tmp_path, masks=tmp_path)
    assert paired(dataset) == {"a.png": "a_mask.png", "b.png": "b_mask.png"}


def test_dicom_is_known_by_its_suffix_or_by_its_content(tmp_path: Path) -> None:
    folder(tmp_path, "images/a.dcm", "masks/a.png", "masks/1.2.840.1.png", "images/notes.txt")
    (tmp_path / "images" / "1.2.840.1").write_bytes(bytes(128) + b"DICM" + bytes(20))
    folder(tmp_path, "images/.hidden.png", "masks/Thumbs.db")
    dataset = open_dataset(tmp_path)
    assert paired(dataset) == {"a.dcm": "a.png", "1.2.840.1": "1.2.840.1.png"}
    assert dataset.unpaired_images == dataset.unpaired_masks == ()


@pytest.mark.parametrize(
    ("names", "both"),
    [
        (("images/a.png", "masks/a.png", "masks/a_mask.png"), ("a.png", "a_mask.png")),
        (("images/a.png", "images/a.dcm", "masks/a.png"), ("a.png", "a.dcm")),
        (("images/a.png", "images/A.png", "masks/a.png"), ("a.png", "A.png")),
        (("images/a_image.png", "images/a-img.png", "masks/a.png"), ("a_image.png", "a-img.png")),
    ],
)
def test_what_fits_twice_is_an_error_that_names_both(
    names: tuple[str, ...], both: tuple[str, str], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError) as caught:
        open_dataset(folder(tmp_path, *names))
    assert all(name in str(caught.value) for name in both)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), "neither films nor masks"),
        (("images/a.png",), "only images/"),
        (("images/a.txt", "masks/a.png"), "holds no film"),
        (("images/a.png", "masks/a.txt"), "holds no mask"),
    ],
)
def test_half_a_dataset_is_refused_in_one_line(
    names: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        open_dataset(folder(tmp_path, *names))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_missing_folder_and_a_missing_word_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        open_dataset(tmp_path / "missing")
    with pytest.raises(UsageError, match="or both"):
        open_dataset(None, images=tmp_path)


# --- tables ---

ABC = ("images/a.png", "images/b.dcm", "images/c.png", "masks/a.png", "masks/b.png", "masks/c.png")


@pytest.mark.parametrize(
    "table",
    [
        "name,group\na,P1\nb,P1\nc,P2\n",
        "a.png,P1\nB,P1\nc,P2",
        "\ufeffFile;Patient\nimages/a.png; P1\nb.dcm;P1\n\nc;P2\n",
        '"a"\t"P1"\nb\tP1\nc\tP2\textra\n',
    ],
)
def test_groups_are_honoured_however_the_table_is_written(table: str, tmp_path: Path) -> None:
    dataset = open_dataset(folder(tmp_path, *ABC, groups=table))
    assert [case.group for case in dataset.cases] == ["P1", "P1", "P2"]
    assert dataset.remarks == ()


def test_parts_are_honoured_and_gaps_are_remarked(tmp_path: Path) -> None:
    dataset = open_dataset(folder(tmp_path, *ABC, parts="name,part\na,knee\nb,hip\nz,hand"))
    assert [case.part for case in dataset.cases] == ["knee", "hip", None]
    assert len(dataset.remarks) == 2
    assert "lists z" in dataset.remarks[0]
    assert "omits c" in dataset.remarks[1]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("a,P1\nb,P2", "omits c"),
        ("a,P1\na.png,P2\nb,P1\nc,P1", "twice"),
        ("a,P1\nb,\nc,P1", "no value for 'b'"),
        ("a\nb\nc", "no value for 'a'"),
        ("x,P1\ny,P1", "omits"),
        ("", "omits"),
    ],
)
def test_groups_that_could_leak_are_an_error(table: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=words):
        open_dataset(folder(tmp_path, *ABC, groups=table))


def test_a_table_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    folder(tmp_path, *ABC)
    (tmp_path / "groups.csv").write_bytes(b"a,\xff\xfe\x00")
    with pytest.raises(DatasetError, match="UTF-8"):
        open_dataset(tmp_path)


# --- twins ---


def film(seed: int, height: int = 300, width: int = 240) -> Film:
    """A made-up film: soft structure of several sizes."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    layers = [gaussian_filter(noise, sigma) * sigma for sigma in (2, 5, 12, 30)]
    total = np.sum(layers, axis=0)
    return ((total - total.min()) / np.ptp(total)).astype(np.float32)


def as_jpeg(pixels: Film) -> Film:
    encoded = io.BytesIO()
    Image.fromarray((pixels * 255).astype(np.uint8)).save(encoded, "JPEG", quality=50)
    return np.asarray(Image.open(encoded), np.float32) / 255


def halved(pixels: Film) -> Film:
    size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


CHANGES: dict[str, Callable[[Film], Film]] = {
    "none": lambda film: film.copy(),
    "JPEG of quality 50": as_jpeg,
    "darker and flatter": lambda film: film * np.float32(0.5) + np.float32(0.1),
    "gamma": lambda film: film ** np.float32(0.7),
    "half the size": halved,
    "one pixel down and right": lambda film: np.pad(film, ((1, 0), (1, 0)), "edge")[:-1, :-1],
    "one pixel up and left": lambda film: np.pad(film, ((0, 1), (0, 1)), "edge")[1:, 1:],
    "mirrored": lambda film: film[:, ::-1],
}


def real_films(name: str, every: int = 1) -> list[Film]:
    paths = sorted((DATA / name / "images").glob("*.png"))[::every]
    if not paths:
        pytest.skip("needs the radiographs of ../shared/data")
    return [np.asarray(Image.open(path).convert("L"), np.float32) / 255 for path in paths]


def cases_for(films: list[Film]) -> list[Case]:
    return [case(str(index)) for index in range(len(films))]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_a_twin_and_no_other_film_is(change: str) -> None:
    films = [film(seed) for seed in range(4)]
    films += [CHANGES[change](films[2])]
    clusters = twins(cases_for(films), films)
    assert clusters[4] == clusters[2]
    assert len(set(clusters)) == 4


@pytest.mark.parametrize("name", ["legs", "knee-femur", "knee-tibia", "spine"])
def test_real_films_that_look_alike_are_no_twins_but_their_copies_are(name: str) -> None:
    films = real_films(name)
    assert len(set(twins(cases_for(films), films))) == len(films)
    some = films[:: len(films) // 5]
    for change in CHANGES.values():
        both = some + [change(one) for one in some]
        clusters = twins(cases_for(both), both)
        assert clusters[: len(some)] == clusters[len(some) :]
        assert len(set(clusters)) == len(some)


def test_a_shift_by_a_cell_of_the_thumbnail_is_found() -> None:
    films = [film(seed) for seed in range(3)]
    films.append(np.pad(films[1], ((2, 0), (2, 0)), "edge")[:-2, :-2])
    clusters = twins(cases_for(films), films)
    assert clusters[3] == clusters[1]
    assert len(set(clusters)) == 3


def test_thumbnails_give_the_same_clusters_as_films() -> None:
    films = [film(0), film(1), as_jpeg(film(0))]
    small = [thumbnail(one) for one in films]
    assert small[0].shape == (128, 128)
    assert twins(cases_for(films), films) == twins(cases_for(films), small)


def test_blank_films_are_twins_only_if_equal_and_no_films_have_no_clusters() -> None:
    films = [np.full((50, 50), level, np.float32) for level in (0.0, 0.3, 0.0)]
    clusters = twins(cases_for(films), films)
    assert clusters[0] == clusters[2] != clusters[1]
    assert twins([], []) == []


# --- splits ---

groups = st.lists(st.one_of(st.none(), st.sampled_from("PQRSTUVW")), min_size=2, max_size=40)


def made_up(groups: list[str | None]) -> list[Case]:
    return [case(f"film{i}", group, "knee" if i % 3 else "hip") for i, group in enumerate(groups)]


@settings(max_examples=80)
@given(groups=groups, k=st.integers(2, 6), seed=st.integers(0, 99), data=st.data())
def test_folds_hold_each_case_once_and_divide_no_group_or_cluster(
    groups: list[str | None], k: int, seed: int, data: st.DataObject
) -> None:
    cases = made_up(groups)
    clusters = data.draw(st.lists(st.integers(0, 60), min_size=len(cases), max_size=len(cases)))
    shares = [0.1 + 0.01 * (i % 7) for i in range(len(cases))]
    try:
        folds = split_folds(cases, clusters, k, seed, shares)
    except DatasetError as error:
        assert str(error).endswith(("ask for fewer folds", "add films of other patients"))
        assert len({g or i for i, g in enumerate(groups)}) < k or len(set(clusters)) < len(cases)
        return
    assert len(folds) == k
    assert all(folds)
    assert sorted(index for fold in folds for index in fold) == list(range(len(cases)))
    for belongs in ([case.group for case in cases], clusters):
        homes: dict[object, set[int]] = {}
        for number, fold in enumerate(folds):
            for index in fold:
                if belongs[index] is not None:
                    homes.setdefault(belongs[index], set()).add(number)
        assert all(len(home) == 1 for home in homes.values())


@settings(max_examples=50)
@given(n=st.integers(2, 90), k=st.integers(2, 10), seed=st.integers(0, 99))
def test_folds_of_single_films_differ_by_one_at_most(n: int, k: int, seed: int) -> None:
    cases = made_up([None] * n)
    if n < k:
        with pytest.raises(DatasetError, match="cannot fill"):
            split_folds(cases, range(n), k, seed)
        return
    shares = np.random.default_rng(seed).random(n).tolist()
    sizes = [len(fold) for fold in split_folds(cases, range(n), k, seed, shares)]
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=40)
@given(groups=groups, seed=st.integers(0, 99), data=st.data())
def test_the_order_of_listing_changes_nothing(
    groups: list[str | None], seed: int, data: st.DataObject
) -> None:
    cases = made_up([*groups, None, None, None])
    clusters = list(range(len(cases)))
    shares = [(i * 37 % 11) / 11 for i in range(len(cases))]
    order = data.draw(st.permutations(range(len(cases))))
    again = [cases[i] for i in order]

    def names(cases: list[Case], folds: list[list[int]]) -> list[set[str]]:
        return [{cases[i].name for i in fold} for fold in folds]

    first = split_folds(cases, clusters, 3, seed, shares)
    second = split_folds(again, clusters, 3, seed, [shares[i] for i in order])
    assert names(cases, first) == names(again, second)
    held = hold_out(cases, clusters, 0.3, seed, shares)
    held_again = hold_out(again, clusters, 0.3, seed, [shares[i] for i in order])
    assert names(cases, list(held)) == names(again, list(held_again))


def test_another_seed_gives_other_folds() -> None:
    cases = made_up([None] * 30)
    assert split_folds(cases, range(30), 5, 0) != split_folds(cases, range(30), 5, 1)
    assert split_folds(cases, range(30), 5, 0) == split_folds(cases, range(30), 5, 0)


def test_body_parts_and_shares_of_bone_are_spread_evenly() -> None:
    cases = [case(f"{i:03}", part="knee" if i < 20 else "spine") for i in range(100)]
    shares = [i % 20 / 20 for i in range(100)]
    for fold in split_folds(cases, range(100), 5, 3, shares):
        assert len(fold) == 20
        assert 3 <= sum(cases[i].part == "knee" for i in fold) <= 5
        assert abs(np.mean([shares[i] for i in fold]) - np.mean(shares)) < 0.06
    _, validation = hold_out(cases, range(100), 0.2, 3, shares)
    assert 3 <= sum(cases[i].part == "knee" for i in validation) <= 5


@settings(max_examples=50)
@given(k=st.integers(2, 6), more=st.integers(0, 40), seed=st.integers(0, 99), data=st.data())
def test_no_fold_is_without_bone_while_there_is_enough_of_it(
    k: int, more: int, seed: int, data: st.DataObject
) -> None:
    cases = made_up([None] * (k + more))
    shares = data.draw(st.permutations([0.1 + 0.1 * i for i in range(k)] + [0.0] * more))
    folds = split_folds(cases, range(len(cases)), k, seed, shares)
    assert all(any(shares[i] for i in fold) for fold in folds)


@settings(max_examples=50)
@given(bony=st.integers(2, 8), more=st.integers(0, 40), held=st.floats(0.05, 0.5))
def test_held_out_films_hold_bone_where_two_have_some(bony: int, more: int, held: float) -> None:
    shares = [0.2] * bony + [0.0] * more
    sides = hold_out(made_up([None] * len(shares)), range(len(shares)), held, 0, shares)
    assert all(any(shares[i] for i in side) for side in sides)


def test_large_groups_leave_the_folds_balanced() -> None:
    groups = [name for name in "ABCDEFGH" for _ in range(4)] + [None] * 18
    sizes = [len(fold) for fold in split_folds(made_up(groups), range(50), 5, 0)]
    assert sizes == [10] * 5


@settings(max_examples=60)
@given(groups=groups, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_held_out_films_are_about_the_fraction_and_share_no_patient(
    groups: list[str | None], fraction: float, seed: int
) -> None:
    cases = made_up(groups)
    if len({group or i for i, group in enumerate(groups)}) < 2:
        with pytest.raises(DatasetError):
            hold_out(cases, range(len(cases)), fraction, seed)
        return
    train, validation = hold_out(cases, range(len(cases)), fraction, seed)
    assert train
    assert validation
    assert sorted(train + validation) == list(range(len(cases)))
    sides = [{cases[i].group for i in side} - {None} for side in (train, validation)]
    assert not sides[0] & sides[1]
    if not any(groups):
        assert abs(len(validation) - fraction * len(cases)) <= 1


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_of_two_large_patients_one_is_held_out(fraction: float) -> None:
    train, validation = hold_out(made_up(["P"] * 5 + ["Q"] * 5), range(10), fraction, 0)
    assert len(train) == len(validation) == 5


@settings(max_examples=40)
@given(names=st.lists(st.text(max_size=12), unique=True), data=st.data())
def test_a_name_keeps_its_side_whatever_else_is_there(
    names: list[str], data: st.DataObject
) -> None:
    kept, held = name_hash_split(names)
    assert sorted(kept + held) == sorted(names)
    some = data.draw(st.permutations(names))[: len(names) // 2]
    kept_of_some, held_of_some = name_hash_split(some)
    assert set(kept_of_some) <= set(kept)
    assert set(held_of_some) <= set(held)


def test_about_the_fraction_of_names_is_held_back_and_stays_so() -> None:
    names = [f"{i:04}" for i in range(2000)]
    assert 340 < len(name_hash_split(names)[1]) < 460
    assert name_hash_split(names, 0)[1] == name_hash_split(names, 1)[0] == []
    assert name_hash_split(names[:12])[1] == ["0004", "0005", "0008", "0010"]


def test_settings_out_of_range_are_refused() -> None:
    cases = made_up([None] * 4)
    with pytest.raises(UsageError):
        split_folds(cases, range(4), 1, 0)
    for fraction in (0.0, 1.0, -0.1):
        with pytest.raises(UsageError):
            hold_out(cases, range(4), fraction, 0)
    with pytest.raises(UsageError):
        name_hash_split(["a"], 1.5)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    """From an old archive: `hüfte` in Latin-1."""
    name = os.fsdecode(b"h\xfcfte.png")
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.eye(64, dtype=np.uint8) * 255).save(tmp_path / "film.png")
        (tmp_path / "film.png").rename(tmp_path / folder / name)
    dataset = open_dataset(tmp_path)
    assert len(fingerprint(read_films(dataset.cases))) == 64
    scored = evaluate_masks(dataset, tmp_path / "masks")
    assert scored.summary.mean["dice"] == 1
    write_cases_csv(scored.summary, tmp_path / "cases.csv")
    assert "h\\udcfcfte,1.0" in (tmp_path / "cases.csv").read_text(encoding="utf-8")
