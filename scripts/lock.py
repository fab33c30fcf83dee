"""Write locks/: the SHA-256 of every distribution of each environment, for `pip --require-hashes`.

    python -m scripts.lock                     # needs uv, of the extra `release`

Versions are those of `constraints.txt`. A lock serves every platform and Python that boneseg
supports. It leaves out PyTorch and the NVIDIA libraries that some builds of it require: which build
fits depends on the hardware, and each index has builds of its own. `constraints.txt` pins its
version.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
LEAST_PYTHON = "3.11.5"
ENVIRONMENTS = {  # extras of the project, and further requirements
    "base": ((), ()),
    "container": (("serve", "pacs", "cluster"), ("ray[default]",)),
    "development": (("all", "dev", "docs"), ()),
}
OF_TORCH = re.compile(r"(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==")
HEAD = """\
# {about}
# Written by `python -m scripts.lock`. PyTorch is pinned in constraints.txt, not here.
"""


def main() -> None:
    LOCKS.mkdir(exist_ok=True)
    for name, (extras, further) in ENVIRONMENTS.items():
        path = LOCKS / f"{name}.txt"
        asked = ", ".join([*(extras or ["no extras"]), *further])
        text = HEAD.format(about=f"boneseg, {asked}") + without_torch(resolved(extras, further))
        path.write_text(text, encoding="utf-8")
        count = len(re.findall(r"^\S+==", text, re.MULTILINE))
        print(f"{path.relative_to(ROOT)}: {count} distributions")


def resolved(extras: tuple[str, ...], further: tuple[str, ...]) -> str:
    """The requirements of an environment, pinned, each with the hashes of its files."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "further.in"
        inputs.write_text("\n".join(further), encoding="utf-8")
        call = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "pyproject.toml"]
        call += [str(inputs), *(word for one in extras for word in ("--extra", one))]
        call += ["--constraint", "constraints.txt", "--generate-hashes", "--universal"]
        call += ["--python-version", LEAST_PYTHON, "--no-header", "--no-annotate"]
        return subprocess.run(call, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def without_torch(text: str) -> str:
    """Without the requirements, of several lines each, that depend on the build of PyTorch."""
    found = re.findall(r"^\S.*\n(?:[ ].*\n)*", text, re.MULTILINE)
    return "".join(one for one in found if not OF_TORCH.match(one))


if __name__ == "__main__":
    main()
