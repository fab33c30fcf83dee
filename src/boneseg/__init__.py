"""Bone segmentation in X-ray radiographs.

    import boneseg

    engine = boneseg.Engine()                   # bundled model; or boneseg.Engine("runs/first")
    film = boneseg.read_radiograph("knee.dcm")
    mask = engine.segment(film)                 # bool, height x width, True = bone

Names are imported on first use, so `import boneseg` is fast and does not need torch. Those of an
extra that is not installed raise ModuleNotFoundError, which says what to install.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from boneseg.bundle.shipped import bundled
    from boneseg.bundle.store import Bundle, load_bundle
    from boneseg.dataset.open import Dataset, open_dataset
    from boneseg.errors import BonesegError
    from boneseg.evaluation.evaluate import Evaluation, evaluate_model
    from boneseg.evaluation.scores import Scores, score
    from boneseg.experiments.compare import compare_recipes
    from boneseg.experiments.compare_result import Comparison
    from boneseg.experiments.crossval import cross_validate
    from boneseg.experiments.crossval_result import CrossValidation
    from boneseg.experiments.tune import tune_recipe
    from boneseg.experiments.tune_result import Tuned
    from boneseg.inference.engine import Engine
    from boneseg.inference.finding import Finding
    from boneseg.masks.formats.png import write_mask
    from boneseg.masks.read import read_mask
    from boneseg.radiograph.film import Radiograph
    from boneseg.radiograph.read import read_radiograph
    from boneseg.recipes.builtin import load_recipe
    from boneseg.recipes.recipe import Recipe
    from boneseg.training.run import TrainedRun
    from boneseg.training.train import train

__all__ = [
    "BonesegError",
    "Bundle",
    "Comparison",
    "CrossValidation",
    "Dataset",
    "Engine",
    "Evaluation",
    "Finding",
    "Radiograph",
    "Recipe",
    "Scores",
    "TrainedRun",
    "Tuned",
    "bundled",
    "compare_recipes",
    "cross_validate",
    "evaluate_model",
    "load_bundle",
    "load_recipe",
    "open_dataset",
    "read_mask",
    "read_radiograph",
    "score",
    "train",
    "tune_recipe",
    "write_mask",
]

_HOMES = {
    "bundle.shipped": ("bundled",),
    "bundle.store": ("Bundle", "load_bundle"),
    "experiments.compare": ("compare_recipes",),
    "experiments.compare_result": ("Comparison",),
    "experiments.crossval": ("cross_validate",),
    "experiments.crossval_result": ("CrossValidation",),
    "dataset.open": ("Dataset", "open_dataset"),
    "inference.engine": ("Engine", "Finding"),
    "errors": ("BonesegError",),
    "evaluation.evaluate": ("Evaluation", "evaluate_model"),
    "masks.formats.png": ("write_mask",),
    "masks.read": ("read_mask",),
    "evaluation.scores": ("Scores", "score"),
    "radiograph.film": ("Radiograph",),
    "radiograph.read": ("read_radiograph",),
    "recipes.recipe": ("Recipe",),
    "recipes.builtin": ("load_recipe",),
    "training.run": ("TrainedRun",),
    "training.train": ("train",),
    "experiments.tune": ("tune_recipe",),
    "experiments.tune_result": ("Tuned",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("boneseg")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'boneseg' has no attribute {name!r}")
    try:
        return getattr(import_module(f"boneseg.{_HOME_OF[name]}"), name)
    except ModuleNotFoundError as error:
        from boneseg._util.extras import advice

        if (words := advice(error)) is None:
            raise
        raise ModuleNotFoundError(words, name=error.name) from None


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
