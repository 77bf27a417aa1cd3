"""Lets the scripts of this folder import `pipeline` and `tests`, wherever they are started."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(1, str(ROOT))
