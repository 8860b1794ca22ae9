"""The helpers of this folder import each other by name, as ``python tests/protocol/long_run.py`` does too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
