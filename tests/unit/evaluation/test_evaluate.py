"""Scoring a folder of predicted masks, and pairs in memory."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from boneseg.dataset.open import open_dataset
from boneseg.errors import DatasetError, MaskError, UsageError
from boneseg.evaluation.evaluate import evaluate_masks, evaluate_predictions
from boneseg.masks.output import unique_stems
from tests.support import films


def square(at=(5, 5), size=(24, 20)):
    mask = np.zeros(size, bool)
    mask[at[0] : at[0] + 8, at[1] : at[1] + 8] = True
    return mask


def write(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def draw_film(path, mask):
    grey = np.arange(mask.size, dtype=np.uint32).reshape(mask.shape) % 100
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((grey + 100 * mask).astype(np.uint8)).save(path)


@pytest.fixture
def data(tmp_path):
    """A dataset of three films, each with a square of bone."""
    for name in ("ankle", "hip", "knee"):
        draw_film(tmp_path / "data" / "images" / f"{name}.png", square())
        write(tmp_path / "data" / "masks" / f"{name}.png", square())
    return open_dataset(tmp_path / "data")


@pytest.fixture
def predicted(tmp_path):
    folder = tmp_path / "predicted"
    folder.mkdir()
    return folder


def test_predictions_are_paired_however_their_letters_are_kept(tmp_path, predicted):
    named = {
        "Knee": "knee_MASK",
        "scha\u0308del": "sch\u00e4del_mask",
        "f\u00fc\u00df": "fu\u0308\u00df",
    }
    for film, prediction in named.items():
        draw_film(tmp_path / "data" / "images" / f"{film}.png", square())
        write(tmp_path / "data" / "masks" / f"{film}.png", square())
        write(predicted / f"{prediction}.png", square())
    evaluation = evaluate_masks(open_dataset(tmp_path / "data"), predicted)
    assert evaluation.failures == ()
    assert {case.name for case in evaluation.summary.cases} == set(named)


def test_one_film_has_no_interval(data, predicted):
    write(predicted / "hip.png", square(at=(5, 9)))
    parts = {"hip": "pelvis"}
    cases = tuple(replace(case, part=parts.get(case.name)) for case in data.cases)
    lines = evaluate_masks(replace(data, cases=cases), predicted).table().splitlines()
    assert lines[2].split() == ["Dice", "0.5000", "–", "one", "film"]
    assert lines[-1] == "pelvis       0.5000   Dice of 1 film"


def test_a_table_says_over_how_many_films_it_is(tmp_path, data, predicted):
    write(predicted / "hip.png", square())
    write(predicted / "knee.png", np.zeros((24, 20), bool))
    draw_film(tmp_path / "data" / "images" / "unmasked.png", square())
    for name in ("twice.png", "twice_mask.png"):
        write(tmp_path / "data" / "masks" / name, square())
    draw_film(tmp_path / "data" / "images" / "twice.png", square())
    found = evaluate_masks(open_dataset(tmp_path / "data"), predicted)
    heading = "2 of 5 films; 2 failed; 1 without a mask; 1 empty prediction"
    assert found.table().splitlines()[0] == heading
    for name in ("ankle", "hip", "knee"):
        write(predicted / f"{name}.png", square())
    assert evaluate_masks(data, predicted).table().startswith("3 of 3 films; 0 empty predictions\n")


def test_each_prediction_is_scored_against_its_own_truth(data, predicted):
    write(predicted / "ankle_mask.png", square())
    write(predicted / "hip.png", square(at=(5, 9)))
    write(predicted / "knee.png", np.zeros((24, 20), bool))
    evaluation = evaluate_masks(data, predicted)
    assert evaluation.failures == ()
    assert {case.name: case.scores.dice for case in evaluation.summary.cases} == {
        "ankle": 1.0,
        "hip": 0.5,
        "knee": 0.0,
    }
    assert evaluation.summary.mean["dice"] == 0.5
    assert evaluation.summary.empty_predictions == 1


def test_the_mask_is_taken_before_the_film_of_the_same_folder(data, predicted):
    for name in ("ankle", "hip", "knee"):
        draw_film(predicted / f"{name}.png", square())
        write(predicted / f"{name}_mask.png", square(at=(5, 9)))
    assert evaluate_masks(data, predicted).summary.mean["dice"] == 0.5


def test_a_missing_prediction_is_named_and_the_others_are_scored(data, predicted):
    write(predicted / "ankle_mask.png", square())
    write(predicted / "knee_mask.png", square())
    evaluation = evaluate_masks(data, predicted)
    assert [failure.name for failure in evaluation.failures] == ["hip"]
    reason = evaluation.failures[0].reason
    assert reason == f"{predicted}: has no mask for hip; predict this film, too"
    assert [case.name for case in evaluation.summary.cases] == ["ankle", "knee"]
    assert evaluation.summary.mean["dice"] == 1.0


def test_files_without_a_film_are_named_where_a_prediction_is_missing(data, predicted):
    for name in ("ankle_mask.png", "ankle_overlay.png", "pred-2.png", "pred-3.png"):
        write(predicted / name, square())
    (predicted / "knee.runs.json").write_text("{}")
    for name in ("README.txt", "cases.csv", "segment.json"):
        (predicted / name).write_text("{}")
    hip, knee = (failure.reason for failure in evaluate_masks(data, predicted).failures)
    assert "knee, but files that match no film: knee.runs.json; name the mask knee_mask or" in knee
    assert "hip, but files that match no film: knee.runs.json, pred-2.png, pred-3.png; name" in hip
    assert "\n" not in hip + knee


def test_files_without_a_film_are_named_without_the_name_of_the_patient(data, predicted):
    cases = tuple(replace(case, name="film-1") for case in data.cases if case.name == "hip")
    knee = tuple(case for case in data.cases if case.name == "knee")
    (predicted / "HIP.runs").write_text("20 30")
    for failure in evaluate_masks(replace(data, cases=cases + knee), predicted).failures:
        assert "match no film: film-1.runs;" in failure.reason
        assert "hip" not in failure.reason.lower()


def test_a_prediction_of_another_size_is_named_with_both_sizes(data, predicted):
    for name in ("ankle", "hip"):
        write(predicted / f"{name}.png", square())
    write(predicted / "knee.png", square(size=(48, 40)))
    (failure,) = evaluate_masks(data, predicted).failures
    assert failure.name == "knee"
    assert all(part in failure.reason for part in ("knee.png", "48 x 40", "24 x 20"))
    assert "\n" not in failure.reason


def test_a_prediction_that_is_not_a_mask_is_named(data, predicted):
    for name in ("ankle", "hip"):
        write(predicted / f"{name}.png", square())
    (predicted / "knee.png").write_bytes(b"no picture")
    (failure,) = evaluate_masks(data, predicted).failures
    assert failure.name == "knee"
    assert "knee.png" in failure.reason


def test_films_named_by_their_uids_are_each_scored_by_their_own_mask(tmp_path, predicted):
    uids = ["1.2.840.4", "1.2.840.5"]
    images = tmp_path / "uids" / "images"
    images.mkdir(parents=True)
    for uid in uids:
        films.dicom(images / uid, films.bone(24, 20))
        write(tmp_path / "uids" / "masks" / f"{uid}.png", square())
    for stem in unique_stems([images / uid for uid in uids]):
        write(predicted / f"{stem}_mask.png", square())
    evaluation = evaluate_masks(open_dataset(tmp_path / "uids"), predicted)
    assert [case.name for case in evaluation.summary.cases] == uids
    assert evaluation.failures == ()


def test_two_predictions_for_one_film_are_not_guessed_between(data, predicted):
    for name in ("ankle.png", "hip.png", "knee.png", "knee.bmp"):
        write(predicted / name, square())
    (failure,) = evaluate_masks(data, predicted).failures
    assert "knee.bmp, knee.png" in failure.reason


def test_one_prediction_never_serves_two_films(tmp_path, predicted):
    for name in ("knee", "knee_mask"):
        draw_film(tmp_path / "odd" / "images" / f"{name}.png", square())
        write(tmp_path / "odd" / "masks" / f"{name}.png", square())
    write(predicted / "knee_mask.png", square())
    evaluation = evaluate_masks(open_dataset(tmp_path / "odd"), predicted)
    assert len(evaluation.summary.cases) == len(evaluation.failures) == 1


def test_where_every_prediction_is_missing_all_are_named(data, predicted):
    evaluation = evaluate_masks(data, predicted)
    assert [failure.name for failure in evaluation.failures] == ["ankle", "hip", "knee"]
    assert evaluation.summary.cases == ()


def test_a_sentence_replaces_the_figures_if_nothing_could_be_scored(data, predicted):
    evaluation = evaluate_masks(data, predicted)
    assert evaluation.table() == "no film could be scored; all 3 failed"
    assert repr(evaluation) == "Evaluation(no film scored, 3 failures)"
    page = evaluation._repr_html_()
    assert evaluation.table() in page
    assert all(failure.reason in page for failure in evaluation.failures)


def test_a_folder_that_is_not_there_is_one_line(data, tmp_path):
    with pytest.raises(UsageError, match="nowhere: cannot be read") as caught:
        evaluate_masks(data, tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


def test_pairs_in_memory_keep_their_names_and_spacings():
    summary = evaluate_predictions(
        iter([("a", square(), square(), (0.5, 0.5)), ("b", square((5, 6)), square(), (2.0, 2.0))])
    )
    assert [case.name for case in summary.cases] == ["a", "b"]
    assert [case.scores.hd_mm for case in summary.cases] == [0.0, 2.0]


def test_a_pair_that_cannot_be_compared_is_named():
    with pytest.raises(MaskError, match=r"^wrist: .*48 × 40.*24 × 20"):
        evaluate_predictions([("wrist", square(size=(48, 40)), square(), None)])


def test_no_pairs_are_no_evaluation():
    with pytest.raises(DatasetError, match="no case"):
        evaluate_predictions([])


def test_films_of_one_patient_make_one_patient_of_the_interval(tmp_path, data, predicted):
    for name, side in (("ankle", 5), ("hip", 5), ("knee", 12)):
        write(predicted / f"{name}.png", square((5, side)))
    apart = evaluate_masks(data, predicted).summary.ci95["dice"]
    (tmp_path / "data" / "groups.csv").write_text("ankle,P1\nhip,P1\nknee,P1\n")
    evaluation = evaluate_masks(open_dataset(tmp_path / "data"), predicted)
    low, high = evaluation.summary.ci95["dice"]
    assert low == high == pytest.approx(evaluation.summary.mean["dice"])
    assert apart[0] < low < apart[1]


def test_the_calibration_of_a_dataset_gives_distances_in_mm(tmp_path, data, predicted):
    for name in ("ankle", "hip", "knee"):
        write(predicted / f"{name}.png", square((7, 5)))
    found = evaluate_masks(data, predicted)
    assert {case.scores.hd_mm for case in found.summary.cases} == {None}
    rows = "".join(f"{name},0.25,ruler\n" for name in ("ankle", "hip", "knee"))
    (tmp_path / "data" / "calibration.csv").write_text(f"name,mm_per_pixel,how\n{rows}")
    found = evaluate_masks(data, predicted)
    assert {case.scores.hd_mm for case in found.summary.cases} == {0.5}
