"""The page of the JSON files that boneseg writes, from the types that write them."""

from __future__ import annotations

from importlib import import_module

from scripts.reference.fields import fields
from scripts.reference.markdown import code, joined, table

DOCUMENTS = (  # file, module, class of one entry
    ("segment.json", "boneseg.inference.batch", "Result"),
    ("convert.json", "boneseg.dataset.convert", "Converted"),
    ("model.json", "boneseg.bundle.card", "Card"),
)


SUMMARY = {
    "cases": "every film: its name, every score, `empty_prediction`, `empty_truth`",
    "mean": "the mean of each score over films",
    "ci95": "the 95 % interval of each mean, [low, high]",
    "empty_predictions": "films whose prediction is empty and whose reference is not",
    "parts": "the same for each body part, if any are known",
}
BONES = {
    "cases": "every film: its name, the scores of each bone drawn on it, and `not_drawn`, the "
    "names of other bones that were found",
    "bones": "every bone: `films` on which it is drawn; those on which it is `missed`; those on "
    "which it is found but `not_drawn`; mean and ci95 of recall, precision and Dice",
}
CROSSVAL = {
    "folds": "every fold: its number, films, threshold, restarts, seconds, parameters, mean, std",
    **SUMMARY,
    "std": "the sample standard deviation of each score over films",
    "failed_folds": "number and reason of each fold that failed",
    "calibration": "the ensemble's temperature, and its calibration error before and after it",
    "version": "of this document",
    "trust": "how well trust finds the films with the lowest Dice",
    "fingerprint": "a digest of the films",
    "recipe": "the complete recipe",
    "versions": "the versions of Python and of the libraries",
}


def documents() -> str:
    """The page of the JSON files that boneseg writes."""
    lines = [
        "# JSON documents",
        "",
        "This page is generated from the types that write these files. Unknown values are `null`.",
    ]
    for name, module, kind in DOCUMENTS:
        found = getattr(import_module(module), kind)
        rows = [(f"`{field}`", code(annotation), note) for field, annotation, note in fields(found)]
        lines += ["", f"## {name}", "", joined(found.__doc__ or ""), ""]
        lines += table(("key", "type", "meaning"), rows)
    others = {
        "evaluate --json": SUMMARY,
        "evaluate --bones --json": BONES,
        "crossval.json": CROSSVAL,
    }
    for name, keys in others.items():
        lines += ["", f"## {name}", ""]
        lines += table(("key", "meaning"), [(f"`{key}`", words) for key, words in keys.items()])
    return "\n".join(lines) + "\n"
