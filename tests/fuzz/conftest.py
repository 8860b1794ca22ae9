"""The helpers of this folder, and of tests/protocol, are imported by name, as ``python tests/fuzz/run.py`` does too."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "protocol")]
