"""boneseg finds the bones in X-ray radiographs.

    import boneseg

    engine = boneseg.Engine()                   # what ships; or boneseg.Engine("runs/first")
    film = boneseg.read_radiograph("knee.dcm")
    mask = engine.segment(film)                 # bool, height x width, True = bone

Names are loaded when they are first used, so that `import boneseg` is quick and needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from boneseg.bundle import Bundle, bundled, load_bundle
    from boneseg.compare import Comparison, compare_recipes
    from boneseg.crossval import cross_validate
    from boneseg.crossval_result import CrossValidation
    from boneseg.dataset import Dataset, open_dataset
    from boneseg.engine import Engine, Finding
    from boneseg.errors import BonesegError
    from boneseg.evaluate import Evaluation, evaluate_model
    from boneseg.masks import read_mask, write_mask
    from boneseg.metrics import Scores, score
    from boneseg.radiograph import Radiograph, read_radiograph
    from boneseg.recipe import Recipe
    from boneseg.recipes import load_recipe
    from boneseg.run import TrainedRun
    from boneseg.training import train
    from boneseg.tune import Tuned, tune_recipe

__version__ = version("boneseg")

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
    "bundle": ("Bundle", "bundled", "load_bundle"),
    "compare": ("Comparison", "compare_recipes"),
    "crossval": ("cross_validate",),
    "crossval_result": ("CrossValidation",),
    "dataset": ("Dataset", "open_dataset"),
    "engine": ("Engine", "Finding"),
    "errors": ("BonesegError",),
    "evaluate": ("Evaluation", "evaluate_model"),
    "masks": ("read_mask", "write_mask"),
    "metrics": ("Scores", "score"),
    "radiograph": ("Radiograph", "read_radiograph"),
    "recipe": ("Recipe",),
    "recipes": ("load_recipe",),
    "run": ("TrainedRun",),
    "training": ("train",),
    "tune": ("Tuned", "tune_recipe"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'boneseg' has no attribute {name!r}")
    return getattr(import_module(f"boneseg.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
