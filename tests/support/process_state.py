"""The process-wide state that a library could change.

    python -m tests.support.process_state import|use FOLDER MODULES

Does something with boneseg. The first process writes the names of all other modules that this
imports to the file MODULES. The second imports these before, so that what they change by themselves
is left out, and prints what boneseg has changed, as JSON.
"""

from __future__ import annotations

import asyncio
import csv
import decimal
import gc
import importlib
import json
import locale
import logging
import multiprocessing
import os
import pkgutil
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

State = dict[str, object]
LOOKED_UP: list[str] = []  # names of C functions


def state() -> State:
    """All settings of this process, and of the libraries that are loaded, as text."""
    found: dict[str, object] = {
        "warnings": warnings.filters,
        "showwarning": (warnings.showwarning, warnings.defaultaction),
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109
        "blocked modules": [name for name, module in sys.modules.items() if module is None],
        "paths": (sys.path, sys.meta_path, sys.path_hooks),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook),
        "streams": [(s.encoding, s.errors) for s in (sys.stdin, sys.stdout, sys.stderr)],
        "signals": [(number, signal.getsignal(number)) for number in signal.valid_signals()],
        "timer": signal.getitimer(signal.ITIMER_REAL),
        "locale": locale.setlocale(locale.LC_ALL),
        "processes": multiprocessing.get_start_method(allow_none=True),
        "recursion": sys.getrecursionlimit(),
        "switch interval": sys.getswitchinterval(),
        "collector": (gc.isenabled(), gc.get_threshold(), len(gc.callbacks)),
        "event loop": type(asyncio.get_event_loop_policy()),
        "decimals": decimal.getcontext().prec,
        "random numbers": hash(random.getstate()),
        "csv": csv.field_size_limit(),
        "umask": _umask(),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "mallopt": "mallopt" in LOOKED_UP,
        **_limits(),
        **_loggers(),
    }
    for name, settings in LIBRARIES.items():
        if name in sys.modules:
            found |= {f"{name} {key}": value for key, value in settings().items()}
    return {key: repr(value) for key, value in found.items()}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _limits() -> State:
    import resource

    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


_OWN_LOGGERS = (
    "boneseg",
    "torch.__trace",  # torch removes its own handler when it is first used
)


def _loggers() -> State:
    known = {"root": logging.root, **logging.root.manager.loggerDict}
    return {
        f"logger {name}": (
            *(logger.level, logger.handlers, logger.filters, logger.disabled, logger.propagate),
        )
        for name, logger in known.items()
        if isinstance(logger, logging.Logger) and name not in _OWN_LOGGERS
    } | {"logging disabled": logging.root.manager.disable}


def _pillow() -> State:
    from PIL import Image, ImageFile, TiffImagePlugin

    tables = ("ID", "OPEN", "SAVE", "SAVE_ALL", "EXTENSION", "MIME", "DECODERS", "ENCODERS")
    return {
        "limit": Image.MAX_IMAGE_PIXELS,
        "truncated": ImageFile.LOAD_TRUNCATED_IMAGES,
        "TIFF": (TiffImagePlugin.OPEN_INFO, TiffImagePlugin.READ_LIBTIFF),
        **{table: sorted(getattr(Image, table)) for table in tables},
    }


def _numpy() -> State:
    import numpy as np

    numbers = np.random.get_state(legacy=True)
    return {"errors": np.geterr(), "random": str(numbers), "print": np.get_printoptions()}


def _torch() -> State:
    import torch

    return {
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "random": torch.get_rng_state().tolist().__repr__().__hash__(),
        "type": (torch.get_default_dtype(), torch.get_default_device()),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
    }


def _pydicom() -> State:
    from pydicom import config

    plain = (bool, int, str, type(None), list, tuple)
    values = {name: value for name, value in vars(config).items() if isinstance(value, plain)}
    return {"values": values, "settings": vars(config.settings)}


def _pynetdicom() -> State:
    from pynetdicom import _config, dimse_messages

    return {"settings": vars(_config), "files": vars(dimse_messages).get("NamedTemporaryFile")}


def _matplotlib() -> State:
    import matplotlib as mpl

    return {"settings": dict(mpl.rcParams), "backend": mpl.get_backend(auto_select=False)}


LIBRARIES: dict[str, Callable[[], State]] = {
    "PIL.Image": _pillow,
    "numpy": _numpy,
    "torch": _torch,
    "pydicom": _pydicom,
    "pynetdicom": _pynetdicom,
    "matplotlib": _matplotlib,
}


# -- what is done with boneseg --------------------------------------------------------------------


def import_all(_: Path) -> None:
    """Import boneseg and all modules in it, as far as their libraries are installed."""
    import boneseg

    for module in pkgutil.walk_packages(boneseg.__path__, "boneseg."):
        if module.name != "boneseg.__main__":  # the command line
            importlib.import_module(module.name)


def use(folder: Path) -> None:
    """Read, segment, write, convert, evaluate and train, as a program does that uses boneseg."""
    import numpy as np
    from PIL import Image

    import boneseg
    from boneseg.bundle.shipped import sample_films
    from boneseg.bundle.store import save_bundle
    from boneseg.dataset.convert import convert_dataset
    from boneseg.inference.batch import segment_files
    from boneseg.masks.formats import FORMATS
    from boneseg.simulate import simulate
    from tests.support.readings import dicom_film

    compressed = dicom_film(folder / "film.dcm", PatientName="Doe^John", PatientID="4711 4712")
    Image.fromarray(np.arange(64 * 80, dtype=">u2").reshape(64, 80)).save(folder / "white.tif")
    films = [compressed, folder / "white.tif", *sorted(sample_films().glob("*.png"))[:1]]
    engine = boneseg.Engine()
    for film in films:
        engine.segment(boneseg.read_radiograph(film))
    boneseg.Engine(backend="torch").segment(boneseg.read_radiograph(films[0]))
    segment_files(films, folder / "masks", engine, formats=list(FORMATS))
    for suffix in ("_mask.png", ".seg.nrrd", "_mask.nii.gz", ".seg.dcm", ".json"):
        boneseg.read_mask(folder / "masks" / f"film{suffix}", (60, 80))
    simulate(folder / "data", 8, seed=1, parallel=2)
    dataset = boneseg.open_dataset(folder / "data")
    convert_dataset(dataset, folder / "converted", ["coco", "dicom-seg"])
    boneseg.evaluate_model(dataset, engine.segment)
    recipe = boneseg.load_recipe("default").with_settings(
        ["run.epochs=1", "prepare.max_pixels=4096", "network.levels=3", "network.width=4"]
    )
    run = boneseg.train(dataset, recipe, folder / "run")
    save_bundle(folder / "bundle", run.network, run.assess().card)


def main() -> None:
    sys.addaudithook(
        lambda event, details: (
            LOOKED_UP.append(str(details[1])) if event == "ctypes.dlsym" else None
        )
    )
    act = {"import": import_all, "use": use}[sys.argv[1]]
    folder, modules = Path(sys.argv[2]), Path(sys.argv[3])
    if not modules.exists():  # the first process only lists the modules
        act(folder)
        others = [name for name in sys.modules if name.partition(".")[0] not in _OURS]
        modules.write_text(json.dumps(others), encoding="utf-8")
        return
    for name in json.loads(modules.read_text(encoding="utf-8")):
        with suppress(ImportError):
            importlib.import_module(name)
    if "PIL.Image" in sys.modules:
        sys.modules["PIL.Image"].init()  # type: ignore[attr-defined]
    before = state()
    act(folder)
    after = state()
    changed = {
        key: (before[key], after.get(key)) for key in before if before[key] != after.get(key)
    }
    print(json.dumps(changed, indent=1))


_OURS = ("boneseg", "tests", "__main__", "__mp_main__")

if __name__ == "__main__":
    main()
