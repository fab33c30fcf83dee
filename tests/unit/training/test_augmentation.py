"""Views of a film: the mask goes where the film goes, and stays binary."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from boneseg.preprocessing import Placement
from boneseg.recipes.settings import AugmentSettings
from boneseg.training.augmentation import Augmenter, film_seeds, with_views
from boneseg.training.tensors import PreparedFilms

OFF = AugmentSettings().off()


def bones(height: int = 96, width: int = 64) -> tuple[Tensor, Tensor]:
    """Films that are their own masks: bone 1, the rest -1."""
    mask = torch.zeros(6, 1, height, width)
    mask[:, :, height // 4 : height // 2, width // 4 : width // 2] = 1
    return mask * 2 - 1, mask


def seeded(seed: int = 0, count: int = 6) -> Tensor:
    """A seed for each of the films."""
    return film_seeds(count, Generator().manual_seed(seed))


def test_without_augmentation_nothing_changes() -> None:
    films, masks = bones()
    views, drawn = Augmenter(OFF)(films, masks, seeded())
    assert torch.equal(views, films)
    assert torch.equal(drawn, masks)


def test_the_same_seed_gives_the_same_view() -> None:
    films, masks = bones()
    one, other = (Augmenter(AugmentSettings())(films, masks, seeded(3)) for _ in range(2))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], Augmenter(AugmentSettings())(films, masks, seeded(4))[0])


def test_a_film_is_augmented_in_the_same_way_in_any_batch() -> None:
    """So that a batch may be divided among devices."""
    films, masks = bones()
    films = films + 0.3 * torch.randn(films.shape, generator=Generator().manual_seed(9))
    half = dict.fromkeys(AugmentSettings().off().model_dump(), 0.5)
    settings = AugmentSettings.model_validate(
        half | {"rotation": 20, "elastic_size": 0.02, "views": 0}
    )
    augment, seeds = Augmenter(settings), seeded(5)
    together = augment(films, masks, seeds)
    for part in (slice(0, 1), slice(1, 3), slice(3, 6)):
        alone = augment(films[part], masks[part], seeds[part])
        torch.testing.assert_close(alone[0], together[0][part])
        assert torch.equal(alone[1], together[1][part])


def test_an_empty_part_of_a_batch_is_augmented() -> None:
    films, masks = bones()
    views, drawn = Augmenter(AugmentSettings())(films[:0], masks[:0], seeded(count=0))
    assert views.shape == drawn.shape == films[:0].shape


def test_the_input_is_left_as_it_was() -> None:
    films, masks = bones()
    everything = AugmentSettings(
        **dict.fromkeys(("gamma", "blur", "noise", "dropout", "letter"), 1.0)
    )
    before = films.clone()
    Augmenter(everything)(films, masks, seeded())
    assert torch.equal(films, before)


@pytest.mark.parametrize("seed", range(5))
def test_the_mask_follows_the_film_and_stays_binary(seed: int) -> None:
    films, masks = bones()
    geometry = OFF.model_copy(
        update={"geometry": 1.0, "elastic": 1.0, "flip_horizontal": 0.5, "flip_vertical": 0.5}
    )
    views, drawn = Augmenter(geometry)(films, masks, seeded(seed))
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    assert not torch.equal(drawn, masks)
    assert (views[drawn == 1] > -0.01).all()  # what is labelled bone is bone
    assert ((views > 0.01) == (drawn == 1)).float().mean() > 0.999


def test_rotation_keeps_angles_on_films_that_are_not_square() -> None:
    """A disc stays a disc: its area and its roundness survive."""
    rows, columns = torch.meshgrid(torch.arange(200), torch.arange(80), indexing="ij")
    disc = ((rows - 100) ** 2 + (columns - 40) ** 2 < 20**2).float().expand(8, 1, 200, 80)
    turn = OFF.model_copy(update={"geometry": 1.0, "zoom": 0.0, "shift": 0.0, "rotation": 90.0})
    _, drawn = Augmenter(turn)(disc * 1.0, disc * 1.0, seeded(count=8))
    assert (drawn.sum((1, 2, 3)) / disc.sum((1, 2, 3)) - 1).abs().max() < 0.03
    assert ((drawn != disc).float().sum((1, 2, 3)) / disc.sum((1, 2, 3))).max() < 0.1


@pytest.mark.parametrize(
    "name", ["gamma", "contrast", "invert", "blur", "noise", "dropout", "letter"]
)
def test_grey_values_change_and_the_mask_does_not(name: str) -> None:
    films, masks = bones()
    films = films + 0.3 * torch.randn(films.shape, generator=Generator().manual_seed(9))
    views, drawn = Augmenter(OFF.model_copy(update={name: 1.0}))(films, masks, seeded())
    assert torch.equal(drawn, masks)
    assert torch.isfinite(views).all()
    assert (views != films).flatten(1).any(1).all()


def test_fixed_views_stand_behind_the_films_they_are_of() -> None:
    films, masks = bones()
    places = (Placement((96, 64), (96, 64), 0, 0, 96, 64),) * len(films)
    prepared = PreparedFilms(films, masks > 0, places)
    settings = AugmentSettings().off().model_copy(update={"flip_horizontal": 1.0, "views": 2})
    more = with_views(prepared, settings, seed=3)
    count = len(prepared)
    assert len(more) == len(more.films) == len(more.masks) == 3 * count
    assert torch.equal(more.films[:count], films)
    for start in (count, 2 * count):
        view = more.films[start : start + count]
        assert torch.allclose(view, films.flip(-1), atol=1e-4)
        assert torch.equal(more.masks[start : start + count], prepared.masks.flip(-1))
    again = with_views(prepared, AugmentSettings(views=1), seed=3)
    assert torch.equal(again.films, with_views(prepared, AugmentSettings(views=1), seed=3).films)
