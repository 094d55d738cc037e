"""Puts the plan on the path of the house's own tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
