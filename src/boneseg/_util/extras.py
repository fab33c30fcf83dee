"""Which extra of boneseg installs an optional library.

advice(error)       # 'torch is not installed; pip install "boneseg[train]"'
"""

from __future__ import annotations

_EXTRAS = {
    **dict.fromkeys(("torch", "onnx", "onnxscript", "optuna"), "train"),
    "trimesh": "simulate",
    "nncf": "int8",
    **dict.fromkeys(("fastapi", "uvicorn", "python_multipart"), "serve"),
    **dict.fromkeys(("pynetdicom", "httpx"), "pacs"),
    **dict.fromkeys(("ray", "fsspec", "pyarrow"), "cluster"),
}


def advice(error: ModuleNotFoundError) -> str | None:
    """What to install where a library is missing, None where no extra has it."""
    extra = _EXTRAS.get(error.name or "")
    return extra and f'{error.name} is not installed; pip install "boneseg[{extra}]"'
