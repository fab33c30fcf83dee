"""What installs an optional library.

advice(error)           # 'torch is not installed; pip install "boneseg[train]"'
require("highdicom")    # before a long run, not in it
"""

from __future__ import annotations

from importlib.util import find_spec

_ARGUMENTS = {  # of pip install
    **dict.fromkeys(("torch", "onnx", "onnxscript", "optuna"), '"boneseg[train]"'),
    "trimesh": '"boneseg[simulate]"',
    "nncf": '"boneseg[int8]"',
    **dict.fromkeys(("fastapi", "uvicorn", "python_multipart"), '"boneseg[serve]"'),
    **dict.fromkeys(("pynetdicom", "httpx"), '"boneseg[pacs]"'),
    **dict.fromkeys(("ray", "fsspec", "pyarrow", "pg8000"), '"boneseg[cluster]"'),
    "highdicom": "--no-deps highdicom",  # without pyjpegls, which boneseg does not use
}


def advice(error: ModuleNotFoundError) -> str | None:
    """What to install where a library is missing, None where that is not known."""
    arguments = _ARGUMENTS.get(error.name or "")
    return arguments and f"{error.name} is not installed; pip install {arguments}"


def is_installed(library: str) -> bool:
    """Whether a library is installed; it is not imported."""
    return find_spec(library) is not None


def require(library: str) -> None:
    """Raise ModuleNotFoundError for a library that is not installed; it is not imported."""
    if not is_installed(library):
        raise ModuleNotFoundError(name=library)
