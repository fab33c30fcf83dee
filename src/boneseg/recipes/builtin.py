"""The built-in recipes: boneseg's own, and each experiment of the repository it is based on.

The original trained U-Nets on about 500 mixed radiographs in Keras and changed one setting at a
time: each such experiment is a recipe here, `seed-deep` with that setting changed.
"""

from __future__ import annotations

from pathlib import Path

from boneseg._util.text import nearest
from boneseg.errors import RecipeError
from boneseg.recipes.network import NetworkSettings
from boneseg.recipes.recipe import Recipe, parse
from boneseg.recipes.settings import (
    AugmentSettings,
    LossSettings,
    OptimiserSettings,
    PrepareSettings,
    RunSettings,
)
from boneseg.recipes.toml import read_toml

_SEED_DEEP = Recipe(
    summary="the original's deep U-Net: 8 levels, focal + 0.15 Dice loss, Adam 8.3e-4, 256 x 256",
    prepare=PrepareSettings(height=256, width=256),
    network=NetworkSettings(
        stem=1,
        widths=(32, 32, 64, 64, 128, 128, 256, 512),
        norm="none",
        deep_supervision=False,
    ),
    augment=AugmentSettings().off(),
    loss=LossSettings(dice=0.15, bce=0, focal=1),
    optimiser=OptimiserSettings(
        name="adam", learning_rate=8.3e-4, schedule="plateau", warmup=0, clip=0
    ),
    run=RunSettings(epochs=100, batch=8, ema=0),
)


def _seed_deep(what: str, *settings: str) -> Recipe:
    """An experiment of the original: its deep U-Net with one setting changed."""
    changed = _SEED_DEEP.with_settings(settings)
    return changed.model_copy(update={"summary": f"seed-deep {what}"})


_TURNED = (
    *("augment.flip_horizontal=0.5", "augment.geometry=1"),
    *("augment.rotation=15", "augment.zoom=0.2", "augment.shift=0"),
)
_FIVE_LEVELS = ("network.widths=[32, 64, 128, 256, 512]", "network.norm=batch")

BUILT_IN: dict[str, Recipe] = {
    "default": Recipe(),
    "fast": Recipe(
        summary="one fifth of the default's computation per film: for phones and old laptops",
        network=NetworkSettings(stem=4),
    ),
    "large": Recipe(
        summary="four times the default's weights, up to 1024 x 1024: for a GPU",
        prepare=PrepareSettings(max_pixels=1_048_576),
        network=NetworkSettings(stem=1, width=32, max_width=512, block="residual"),
        run=RunSettings(epochs=300, batch=8),
    ),
    "seed-unet": Recipe(
        summary="the original's U-Net: 5 levels, no normalisation, Dice loss, Adam 1e-3, 256 x 256",
        prepare=PrepareSettings(height=256, width=256),
        network=NetworkSettings(
            stem=1, widths=(32, 64, 128, 256, 512), norm="none", deep_supervision=False
        ),
        augment=AugmentSettings().off(),
        loss=LossSettings(dice=1, bce=0, dice_smooth=100),
        optimiser=OptimiserSettings(
            name="adam", learning_rate=1e-3, schedule="constant", warmup=0, clip=0
        ),
        run=RunSettings(epochs=50, batch=8, ema=0),
    ),
    "seed-deep": _SEED_DEEP,
    "seed-deep-plateau15": _seed_deep(
        "with the learning rate times 0.75 after 15 epochs without improvement",
        "optimiser.plateau_factor=0.75",
        "optimiser.plateau_patience=15",
    ),
    "seed-deep-128": _seed_deep("at 128 x 128", "prepare.height=128", "prepare.width=128"),
    "seed-deep-512": _seed_deep("at 512 x 512", "prepare.height=512", "prepare.width=512"),
    "seed-deep-adamw": _seed_deep("with AdamW", "optimiser.name=adamw"),
    "seed-deep-sgd": _seed_deep(
        "with SGD at 0.01", "optimiser.name=sgd", "optimiser.learning_rate=0.01"
    ),
    "seed-deep-dice": _seed_deep("with the Dice loss only", "loss.dice=1", "loss.focal=0"),
    "seed-deep-bce": _seed_deep(
        "with cross-entropy only", "loss.dice=0", "loss.focal=0", "loss.bce=1"
    ),
    "seed-deep-focal": _seed_deep("with the focal loss only", "loss.dice=0"),
    "seed-deep-bce-dice-focal": _seed_deep(
        "with cross-entropy + Dice + focal", "loss.dice=1", "loss.bce=1"
    ),
    "seed-deep-3-channels": _seed_deep(
        "on three copies of the film as channels", "network.inputs=copies"
    ),
    "seed-deep-filters": _seed_deep(
        "on the film, the blurred film and its edges as channels", "network.inputs=filters"
    ),
    "seed-deep-augment2": _seed_deep(
        "with one augmented copy (flip, zoom, rotation) of each film", *_TURNED, "augment.views=1"
    ),
    "seed-deep-augment4": _seed_deep(
        "with three augmented copies of each film", *_TURNED, "augment.views=3"
    ),
    "seed-deep-augment4-blur": _seed_deep(
        "with three augmented copies of each film, half of them blurred or sharpened",
        *_TURNED,
        "augment.views=3",
        "augment.blur=0.5",
    ),
    "unetplusplus": _seed_deep(
        "as a U-Net++ of 5 levels with deep supervision",
        *_FIVE_LEVELS,
        "network.architecture=unetplusplus",
        "network.deep_supervision=true",
    ),
    "resunet": _seed_deep(
        "as a residual U-Net of 5 levels", *_FIVE_LEVELS, "network.block=residual"
    ),
    "attention-unet": _seed_deep(
        "as a U-Net of 5 levels with attention gates", *_FIVE_LEVELS, "network.attention=true"
    ),
}


def load_recipe(name_or_path: str) -> Recipe:
    """Return a built-in recipe by name, or read one from a TOML file. Raises RecipeError."""
    if name_or_path in BUILT_IN:
        return BUILT_IN[name_or_path]
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.is_file():
        known = ", ".join(BUILT_IN)
        hint = nearest(name_or_path, list(BUILT_IN))
        raise RecipeError(
            f"no recipe {name_or_path!r}{hint}; built-in: {known}; or give a .toml file"
        )
    return parse(read_toml(path), str(path))
