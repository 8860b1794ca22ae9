"""Guards: what looks at new items before the model reads them, or while it does.

:mod:`.guard` has the interface and its contract, :mod:`.settings` those that ``--guard`` knows.
"""

from .guard import Checking, Guard, Guards
from .limits_guard import LimitsGuard
from .secret_scanner import SecretScanner
from .settings import GUARDS, parse_guard

__all__ = ["GUARDS", "Checking", "Guard", "Guards", "LimitsGuard", "SecretScanner", "parse_guard"]
