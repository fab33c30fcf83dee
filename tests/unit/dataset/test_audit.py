"""All problems that impair training are named, and one broken file hides no other."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from boneseg.dataset.audit import Problem, check_dataset
from boneseg.dataset.open import open_dataset, survey_dataset
from boneseg.dataset.splits import hold_out
from boneseg.errors import DatasetError
from tests.support.datasets import add, limb
from tests.support.films import DATA

SERIOUS = ["no pairs", "unreadable film", "unreadable mask", "unexpected values", "size mismatch"]


def found(data: Path) -> dict[str, Problem]:
    return {problem.kind: problem for problem in check_dataset(open_dataset(data)).problems}


def test_a_valid_dataset_has_no_problem_and_is_summarised(data: Path) -> None:
    (data / "groups.csv").write_text("".join(f"case{i},P{i // 2}\n" for i in range(6)))
    (data / "parts.csv").write_text(
        "".join(f"case{i},{'hip' if i else 'knee'}\n" for i in range(6))
    )
    report = check_dataset(open_dataset(data))
    assert report.problems == ()
    assert report.ok
    assert (report.films, report.masks, report.cases, report.groups) == (6, 6, 6, 3)
    assert report.parts == (("hip", 5), ("knee", 1))
    assert report.sizes == ((120, 90, 6),)
    shares = [(limb(seed)[1] > 0).mean() for seed in range(6)]
    assert report.bone_share == pytest.approx((min(shares), np.median(shares), max(shares)))
    assert report.shares == pytest.approx(shares)
    assert report.clusters == tuple(range(6))


@pytest.mark.parametrize(
    ("kind", "film", "mask"),
    [
        ("size mismatch", limb(7)[0], limb(7)[1][:, 1:]),
        ("unexpected values", limb(7)[0], limb(7)[0]),
        ("empty mask", limb(7)[0], limb(7)[1] * 0),
        ("full mask", limb(7)[0], limb(7)[1] * 0 + 255),
        ("maybe inverted", limb(7)[0], 255 - limb(7)[1]),
        ("maybe inverted", 255 - limb(7)[0], limb(7)[1]),
        ("unpaired image", limb(7)[0], None),
        ("unpaired mask", None, limb(7)[1]),
    ],
)
def test_what_is_wrong_with_one_case_is_named_and_nothing_else_is(
    kind: str, film: NDArray[np.uint8] | None, mask: NDArray[np.uint8] | None, data: Path
) -> None:
    add(data, "odd", film, mask)
    problems = found(data)
    assert list(problems) == [kind]
    assert problems[kind].names[0].removesuffix(".png") == "odd"
    assert problems[kind].serious == (kind in SERIOUS)
    assert "odd.png" in problems[kind].detail
    assert "\n" not in problems[kind].detail


def test_a_mask_nearly_all_bone_is_reported_even_if_its_film_is_unreadable(data: Path) -> None:
    mask = np.full((120, 90), 255, np.uint8)
    mask[:3] = 0
    add(data, "odd", None, mask)
    (data / "images" / "odd.png").write_bytes(b"no image")
    assert list(found(data)) == ["unreadable film", "maybe inverted"]


def test_broken_files_are_each_named_and_the_rest_is_checked(data: Path) -> None:
    (data / "images" / "case1.png").write_bytes(b"\x89PNG broken")
    (data / "masks" / "case2.png").write_bytes(b"")
    report = check_dataset(open_dataset(data))
    assert not report.ok
    assert [(p.kind, p.names) for p in report.problems] == [
        ("unreadable film", ("case1",)),
        ("unreadable mask", ("case2",)),
    ]
    assert report.sizes == ((120, 90, 5),)
    assert [math.isnan(share) for share in report.shares] == [i == 2 for i in range(6)]
    assert len(set(report.clusters)) == 6


def test_near_duplicates_are_named_together(data: Path) -> None:
    film, mask = limb(3)
    add(data, "again", film // 2 + 50, mask)
    report = check_dataset(open_dataset(data))
    assert [(p.kind, p.names, p.serious) for p in report.problems] == [
        ("near-duplicates", ("again", "case3"), False)
    ]
    assert report.clusters[0] == report.clusters[4]


def test_a_blank_film_is_named(data: Path) -> None:
    add(data, "odd", np.full((120, 90), 77, np.uint8), limb(7)[1])
    assert list(found(data)) == ["blank film"]


def test_masks_without_any_outline_are_serious(data: Path) -> None:
    for path in (data / "masks").iterdir():
        Image.new("L", (90, 120)).save(path)
    report = check_dataset(open_dataset(data))
    assert {(p.kind, p.serious) for p in report.problems} == {("empty mask", True)}
    assert report.bone_share == (0, 0, 0)


def test_a_dataset_without_pairs_is_serious(data: Path) -> None:
    for path in (data / "masks").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    report = check_dataset(open_dataset(data))
    assert (report.problems[0].kind, report.problems[0].serious) == ("no pairs", True)
    assert report.cases == 0
    assert report.bone_share is None
    assert json.loads(json.dumps(report.to_json()))["bone_share"] is None


@pytest.mark.parametrize("reason", ["one film", "one patient", "one picture"])
def test_too_few_independent_films_are_serious_as_training_refuses_them(
    reason: str, data: Path
) -> None:
    if reason == "one patient":
        (data / "groups.csv").write_text("".join(f"case{i},P0\n" for i in range(6)))
    else:
        for path in [path for path in data.rglob("*.png") if path.stem != "case0"]:
            path.unlink()
    if reason == "one picture":
        add(data, "again", *limb(0))
    report = check_dataset(open_dataset(data))
    assert [p.kind for p in report.problems if p.serious] == ["too few films"]
    assert not report.ok
    with pytest.raises(DatasetError):
        hold_out(open_dataset(data).cases, report.clusters, 0.15, seed=0)


def test_remarks_on_the_tables_are_problems(data: Path) -> None:
    (data / "parts.csv").write_text("case0,knee\nother,hip")
    kinds = [(p.kind, p.serious) for p in check_dataset(open_dataset(data)).problems]
    assert kinds == [("table", False), ("table", False)]


def test_a_table_that_cannot_be_used_is_serious_and_hides_nothing(data: Path) -> None:
    (data / "groups.csv").write_text("case0,P0\n")
    add(data, "odd", limb(7)[0], limb(7)[1] * 0)
    report = check_dataset(survey_dataset(data))
    assert [(p.kind, p.serious) for p in report.problems] == [
        ("table", True),
        ("empty mask", False),
    ]
    assert not report.ok
    assert "omits case1, case2" in report.problems[0].detail


def test_faults_of_all_masks_are_listed_and_no_other_reason_is_given(data: Path) -> None:
    for path in list((data / "masks").iterdir()):
        path.with_name(f"{path.stem}_mask.png").write_bytes(path.read_bytes())
    problems = check_dataset(survey_dataset(data)).problems
    assert [(p.kind, p.serious) for p in problems] == [("unreadable mask", True)] * 6
    assert all("both match it; keep one mask" in problem.detail for problem in problems)


def test_the_report_is_plain_json(data: Path) -> None:
    add(data, "odd", limb(7)[0], limb(7)[1] * 0)
    report = check_dataset(open_dataset(data))
    plain = report.to_json()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["ok"] is True
    assert plain["sizes"] == [{"height": 120, "width": 90, "films": 7}]
    assert plain["bone_share"]["min"] == 0
    assert plain["problems"][0]["names"] == ["odd"]


def test_progress_is_reported_for_each_case(data: Path) -> None:
    told: list[tuple[int, int]] = []
    check_dataset(open_dataset(data), progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]


@pytest.mark.parametrize(
    ("name", "negatives"), [("spine", []), ("knee-femur", ["003", "073"]), ("knee-tibia", ["005"])]
)
def test_only_negatives_of_the_real_sets_get_a_warning(name: str, negatives: list[str]) -> None:
    if not (DATA / name).is_dir():
        pytest.skip("needs the radiographs of ../shared/data")
    report = check_dataset(open_dataset(DATA / name))
    assert report.ok
    assert report.cases in (40, 80)
    assert {problem.kind for problem in report.problems} <= {"maybe inverted"}
    assert [problem.names[0] for problem in report.problems] == negatives
