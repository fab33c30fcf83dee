"""Write the generated pages below the folder given."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.reference import write

write(Path(sys.argv[1]))
