"""The metric policy, compared with MONAI, SciPy and brute force."""

import math
import time

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist, directed_hausdorff

from boneseg.errors import MaskError, UsageError
from boneseg.evaluation.evaluate import Evaluation
from boneseg.evaluation.metrics import DIAGONAL, METRICS, MaskPair, columns, metric
from boneseg.evaluation.scores import CaseScores, score, summarise
from boneseg.evaluation.tables import write_cases_csv
from boneseg.training.report import case_table

OVERLAPS = ("dice", "iou", "precision", "recall")
DISTANCES = ("hd", "hd95", "assd")
# Neither exchanging prediction and truth nor background around both changes these.
SYMMETRIC = ("dice", "iou", "nsd", *(f"{name}_px" for name in DISTANCES))
light = settings(max_examples=60)


@st.composite
def masks(draw, count=2):
    """`count` masks of one size: noise, rectangles, single pixels, empty and full ones."""
    height, width = draw(array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))

    def rectangle(top, bottom, left, right):
        mask = np.zeros((height, width), bool)
        mask[min(top, bottom) : max(top, bottom) + 1, min(left, right) : max(left, right) + 1] = 1
        return mask

    row, column = st.integers(0, height - 1), st.integers(0, width - 1)
    mask = st.one_of(
        arrays(bool, (height, width)),
        st.builds(rectangle, row, row, column, column),
        st.builds(lambda r, c: rectangle(r, r, c, c), row, column),
        st.sampled_from([np.zeros((height, width), bool), np.ones((height, width), bool)]),
    )
    return tuple(draw(mask) for _ in range(count))


spacings = st.tuples(*2 * [st.floats(0.05, 5)])


def boundary(mask):
    """Row and column of the boundary pixels, by the definition and pixel by pixel."""
    inside = {tuple(pixel) for pixel in np.argwhere(mask)}
    return np.array(
        [
            (r, c)
            for r, c in sorted(inside)
            if not {(r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)} <= inside
        ]
    )


def square(size=20, at=(5, 5), side=6):
    mask = np.zeros((size, size), bool)
    mask[at[0] : at[0] + side, at[1] : at[1] + side] = True
    return mask


# The policy, by example


def test_a_mask_equals_itself():
    same = score(square(), square(), (0.5, 0.5))
    assert {getattr(same, name) for name in (*OVERLAPS, "nsd")} == {1.0}
    assert {getattr(same, f"{name}_{unit}") for name in DISTANCES for unit in ("px", "mm")} == {0.0}


def test_a_square_moved_by_three_pixels():
    moved = score(square(at=(5, 8)), square(), (2.0, 0.1))
    assert moved.dice == moved.precision == moved.recall == 0.5
    assert moved.iou == 1 / 3
    assert moved.hd_px == 3.0
    assert moved.hd_mm == pytest.approx(0.3)  # columns are 0.1 mm apart


def test_precision_and_recall_are_not_swapped():
    small, large = square(side=3), square(side=6)
    assert (score(small, large).precision, score(small, large).recall) == (1.0, 0.25)


def test_spacing_is_rows_first():
    low, right = square(at=(9, 5)), square(at=(5, 9))
    assert score(low, square(), (1.5, 0.5)).hd_mm == pytest.approx(6.0)
    assert score(right, square(), (1.5, 0.5)).hd_mm == pytest.approx(2.0)


def test_both_empty_is_perfect():
    nothing = np.zeros((4, 3), bool)
    scores = score(nothing, nothing, (2.0, 2.0))
    assert {getattr(scores, name) for name in (*OVERLAPS, "nsd")} == {1.0}
    assert {getattr(scores, f"{name}_{unit}") for name in DISTANCES for unit in ("px", "mm")} == {0}
    assert scores.empty_prediction and scores.empty_truth


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_scores_zero_and_lies_a_diagonal_away(swap):
    pair = [np.zeros((30, 40), bool), np.ones((30, 40), bool)]
    scores = score(*(reversed(pair) if swap else pair), (0.1, 0.2))
    assert {getattr(scores, name) for name in (*OVERLAPS, "nsd")} == {0.0}
    assert {getattr(scores, f"{name}_px") for name in DISTANCES} == {50.0}
    assert {getattr(scores, f"{name}_mm") for name in DISTANCES} == {math.hypot(3, 8)}
    assert (scores.empty_prediction, scores.empty_truth) == (not swap, swap)


def test_masks_that_do_not_touch_still_have_distances():
    scores = score(square(at=(0, 0), side=1), square(at=(3, 4), side=1))
    assert (scores.dice, scores.hd_px, scores.hd95_px, scores.assd_px) == (0.0, 5.0, 5.0, 5.0)


def test_without_a_spacing_there_are_no_millimetres():
    scores = score(square(), square(at=(6, 6)))
    assert (scores.hd_mm, scores.hd95_mm, scores.assd_mm) == (None, None, None)


def test_boundaries_are_found_once_for_pixels_and_millimetres():
    pair = MaskPair(square(), square(at=(6, 6)))
    assert pair.in_mm((2.0, 3.0)).boundaries is pair.boundaries


def test_hd95_takes_the_worse_direction_and_leaves_out_the_outlier():
    truth = np.zeros((60, 60), bool)
    truth[10, 5:55] = True
    prediction = truth.copy()
    prediction[59, 5] = True  # one pixel in 51 is far away
    scores = score(prediction, truth)
    assert (scores.hd_px, scores.hd95_px) == (49.0, 0.0)
    prediction[50, 5:55] = True
    assert score(prediction, truth).hd95_px == 40.0 == score(truth, prediction).hd95_px


def test_the_tolerance_includes_its_own_value():
    moved = square(at=(5, 7))
    assert score(moved, square(), nsd_tolerance_px=2.0).nsd == 1.0
    assert score(moved, square(), nsd_tolerance_px=1.99).nsd < 1.0


def test_sizes_that_differ_are_both_named():
    with pytest.raises(MaskError, match=r"10 × 12 pixels and the truth 8 × 12"):
        score(np.zeros((10, 12), bool), np.zeros((8, 12), bool))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((1, 4, 4), bool)])
def test_only_flat_boolean_masks_are_compared(wrong):
    with pytest.raises(MaskError, match="boolean"):
        score(wrong, wrong)


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_a_spacing_that_is_not_positive_is_refused(spacing):
    with pytest.raises(UsageError, match="spacing"):
        score(square(), square(), spacing)


@pytest.mark.parametrize("tolerance", [-1.0, math.nan])
def test_a_tolerance_below_zero_is_refused(tolerance):
    with pytest.raises(UsageError, match="tolerance"):
        score(square(), square(), nsd_tolerance_px=tolerance)


# Properties


@light
@given(masks(), spacings)
def test_scores_are_symmetric_except_precision_and_recall(pair, spacing):
    there, back = score(*pair, spacing), score(*reversed(pair), spacing)
    for name in (*SYMMETRIC, "hd_mm", "hd95_mm", "assd_mm"):
        assert there[name] == pytest.approx(back[name], abs=1e-12)
    assert there.precision == pytest.approx(back.recall, abs=1e-12)


@light
@given(masks(), spacings)
def test_scores_stay_in_their_range(pair, spacing):
    scores = score(*pair, spacing)
    diagonal = math.hypot(*pair[0].shape)
    assert all(0 <= getattr(scores, name) <= 1 for name in (*OVERLAPS, "nsd"))
    assert 0 <= scores.hd95_px <= scores.hd_px <= diagonal
    assert 0 <= scores.assd_px <= scores.hd_px
    assert scores.dice == pytest.approx(2 * scores.iou / (1 + scores.iou))
    # Not the other way round: a square of 3 x 3 and its ring have one and the same boundary.
    assert scores.dice < 1 or scores.hd_px == 0


@light
@given(masks(), st.floats(0.05, 5), st.floats(1.1, 10))
def test_distances_scale_with_the_spacing(pair, step, factor):
    one, more = score(*pair, (step, step)), score(*pair, (step * factor, step * factor))
    for name in DISTANCES:
        px = getattr(one, f"{name}_px")
        assert_allclose(getattr(one, f"{name}_mm"), px * step, rtol=1e-9)
        assert_allclose(getattr(more, f"{name}_mm"), px * step * factor, rtol=1e-9)


@light
@given(masks(), st.integers(0, 9), st.integers(0, 9))
def test_background_around_both_masks_changes_no_score(pair, before, after):
    assume(all(mask.any() for mask in pair))
    padded = score(*(np.pad(mask, (before, after)) for mask in pair))
    for name in (*SYMMETRIC, "precision", "recall"):
        assert score(*pair)[name] == pytest.approx(padded[name], abs=1e-12)


# Against SciPy, on boundaries found pixel by pixel


@light
@given(masks(), spacings, st.floats(0, 6))
@example((np.ones((5, 7), bool), square(size=7)[:5]), (0.2, 3.0), 1.0)
def test_distances_agree_with_scipy_and_brute_force(pair, spacing, tolerance):
    assume(all(mask.any() for mask in pair))
    scores = score(*pair, spacing, tolerance)
    for unit, step in (("px", (1, 1)), ("mm", spacing)):
        a, b = (boundary(mask) * step for mask in pair)
        table = cdist(a, b)
        there, back = table.min(axis=1), table.min(axis=0)
        hausdorff = max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])
        hd95 = max(np.quantile(there, 0.95), np.quantile(back, 0.95))
        assd = (there.sum() + back.sum()) / (len(a) + len(b))
        found = [getattr(scores, f"{name}_{unit}") for name in DISTANCES]
        assert_allclose(found, [hausdorff, hd95, assd], rtol=1e-9, atol=1e-12)
        if unit == "px":
            near = (there <= tolerance).sum() + (back <= tolerance).sum()
            assert scores.nsd == pytest.approx(near / (len(a) + len(b)))


# Against MONAI, which warns of empty masks and of its own coming changes

quiet = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture(scope="session")
def monai():
    return pytest.importorskip("monai.metrics", reason="needs MONAI")


@pytest.fixture(scope="session")
def batch():
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    return lambda mask: torch.from_numpy(mask[None, None].astype(np.float32))


@quiet
@light
@given(masks(), spacings, st.floats(0, 6))
@example((np.ones((5, 7), bool), square(size=7)[:5]), (0.2, 3.0), 2.0)
def test_boundaries_agree_with_monai(monai, batch, pair, spacing, tolerance):
    # With an empty mask MONAI gives inf or nan for distances, which no mean survives; the policy
    # sets them to the diagonal, or to 0, and the examples above hold it.
    assume(all(mask.any() for mask in pair))
    scores = score(*pair, spacing, tolerance)
    both = tuple(batch(mask) for mask in pair)
    both_in = {"include_background": True}
    for unit, step in (("px", None), ("mm", list(spacing))):
        given_step = {**both_in, "spacing": step}
        expected = [
            monai.compute_hausdorff_distance(*both, **given_step),
            monai.compute_hausdorff_distance(*both, percentile=95, **given_step),
            monai.compute_average_surface_distance(*both, symmetric=True, **given_step),
        ]
        found = [getattr(scores, f"{name}_{unit}") for name in DISTANCES]
        # MONAI computes in float32.
        assert_allclose(found, [float(value) for value in expected], rtol=1e-5, atol=1e-6)


@quiet
@light
@given(masks(), st.integers(0, 6))
def test_surface_dice_agrees_with_monai(monai, batch, pair, tolerance):
    # Both empty: MONAI gives nan, the policy 1. MONAI's `use_subvoxels` weighs the boundary by its
    # length as Nikolov et al. do; it is off by default, and here too each pixel counts as one.
    assume(any(mask.any() for mask in pair))
    expected = monai.compute_surface_dice(
        *(batch(mask) for mask in pair), class_thresholds=[tolerance], include_background=True
    )
    assert score(*pair, nsd_tolerance_px=tolerance).nsd == pytest.approx(float(expected), abs=1e-6)


@quiet
@light
@given(masks())
def test_overlap_agrees_with_monai(monai, batch, pair):
    # `ignore_empty=False` makes MONAI score two empty masks 1, as the policy does.
    both = tuple(batch(mask) for mask in pair)
    scores = score(*pair)
    assert scores.dice == pytest.approx(
        float(monai.DiceMetric(ignore_empty=False)(*both)), abs=1e-6
    )
    assert scores.iou == pytest.approx(float(monai.MeanIoU(ignore_empty=False)(*both)), abs=1e-6)
    if all(mask.any() for mask in pair):
        for name in ("precision", "recall"):
            counts = monai.get_confusion_matrix(*both)
            expected = float(monai.compute_confusion_matrix_metric(name, counts))
            assert getattr(scores, name) == pytest.approx(expected, abs=1e-6)


# Speed


def test_scoring_a_leg_film_takes_milliseconds():
    truth = np.zeros((1024, 128), bool)
    truth[40:500, 40:80] = truth[520:980, 45:75] = True
    prediction = np.roll(truth, (5, 3), (0, 1))
    score(prediction, truth)  # the first call imports SciPy
    times = []
    for _ in range(5):
        start = time.perf_counter()
        score(prediction, truth, (0.4, 0.4))
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1  # about 10 ms; a distance table of all pixels would take seconds


# The registry


def test_every_metric_states_what_it_is():
    for name, one in METRICS.items():
        assert one.label and len(one.description) > 20
        assert name.endswith(f"_{one.unit}") or not one.unit
        assert math.isfinite(one.both_empty)


def test_every_metric_prefers_the_truth_and_is_worst_without_it():
    """`both_empty` is the best value and `one_empty` the worst, in the metric's own direction."""
    for pair in ((square(), square()), (square(), square(at=(2, 9)))):
        scores = score(*pair, (0.5, 0.5))
        for name, one in METRICS.items():
            best, worst = one.both_empty, one.one_empty
            value = scores[name]
            assert best >= value >= worst if one.higher_is_better else best <= value <= worst


def test_lengths_in_millimetres_are_the_last_columns():
    names = columns()
    assert sorted(names) == sorted(METRICS)
    lengths = [name for name, one in METRICS.items() if one.unit == "mm"]
    assert sorted(names[-len(lengths) :]) == sorted(lengths)


@pytest.fixture
def registered(monkeypatch):
    """Two metrics more: a share of pixels and a length."""
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS.items()))

    @metric("accuracy", "accuracy", both_empty=1, one_empty=0)
    def accuracy(pair: MaskPair) -> float:
        """Share of all pixels that are right.

        Background counts as much as bone.
        """
        return float((pair.prediction == pair.truth).mean())

    options = {"both_empty": 0, "one_empty": DIAGONAL, "higher_is_better": False, "length": True}

    @metric("nearest", "nearest", **options)
    def nearest(pair: MaskPair) -> float:
        """The least distance between the boundaries."""
        return float(min(pair.distances[0].min(), pair.distances[1].min()))


@pytest.mark.usefixtures("registered")
def test_a_metric_states_how_it_is_shown_and_which_values_are_better():
    share, length = METRICS["accuracy"], METRICS["nearest_mm"]
    assert share.description == "Share of all pixels that are right."
    assert (share.title, share.digits, share.higher_is_better) == ("accuracy", 4, True)
    assert (length.title, length.digits, length.higher_is_better) == ("nearest, mm", 2, False)


@pytest.mark.usefixtures("registered")
def test_a_registered_metric_needs_no_other_edit(tmp_path):
    nothing = np.zeros((20, 20), bool)
    found = score(square(), square(at=(5, 6)), (0.5, 0.5))
    assert found["accuracy"] == 1 - 12 / 400
    assert (score(nothing, nothing)["accuracy"], score(nothing, square())["accuracy"]) == (1, 0)
    assert score(nothing, square(), (0.5, 2))["nearest_mm"] == math.hypot(10, 40)
    assert score(square(), square(at=(9, 16)), (0.5, 2.0))["nearest_mm"] == 12
    summary = summarise([CaseScores("film", found)])
    assert summary.to_json()["mean"]["nearest_px"] == 0
    write_cases_csv(summary, tmp_path / "cases.csv")
    heads, row = (tmp_path / "cases.csv").read_text().splitlines()
    assert dict(zip(heads.split(","), row.split(","), strict=True))["accuracy"] == "0.97"
    assert "accuracy" in Evaluation(summary, {}, ()).table()
    assert "Share of all pixels that are right" in case_table(summary.cases)
