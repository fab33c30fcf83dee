"""Write every generated page below the folder given."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.reference import pages

for name, text in pages().items():
    path = Path(sys.argv[1]) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
