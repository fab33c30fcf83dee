"""The verbs of the command line, in the order of `boneseg --help`.

Only the module of the verb that is called is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from boneseg.cli.arguments import Verb


def _segment() -> Mapping[str, Verb]:
    from boneseg.cli.segment import segment

    return {"segment": segment}


def _films() -> Mapping[str, Verb]:
    from boneseg.cli.films import check, convert, evaluate

    return {"check": check, "evaluate": evaluate, "convert": convert}


def _training() -> Mapping[str, Verb]:
    from boneseg.cli.training import compare, crossval, recipes, train, tune

    return {
        "train": train,
        "crossval": crossval,
        "compare": compare,
        "tune": tune,
        "recipes": recipes,
    }


def _simulation() -> Mapping[str, Verb]:
    from boneseg.cli.simulation import demo, simulate

    return {"simulate": simulate, "demo": demo}


def _services() -> Mapping[str, Verb]:
    from boneseg.cli.services import node, pacs, serve

    return {"serve": serve, "pacs": pacs, "node": node}


VERBS: dict[str, Callable[[], Mapping[str, Verb]]] = {  # by name: what imports its module
    "segment": _segment,
    "check": _films,
    "train": _training,
    "crossval": _training,
    "compare": _training,
    "tune": _training,
    "evaluate": _films,
    "convert": _films,
    "simulate": _simulation,
    "recipes": _training,
    "serve": _services,
    "pacs": _services,
    "node": _services,
    "demo": _simulation,
}


def verb(name: str) -> Verb:
    """The function of a verb. Raises KeyError if there is none of this name."""
    return VERBS[name]()[name]
