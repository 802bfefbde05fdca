"""Make the scripts of the manual importable."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / 'docs'))
