"""What an experiment found: in the terminal, as a page, as a trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..analysis import analyse
from ..records import Results
from .perfetto import write_trace

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_report", "write_report", "write_trace"]


def write_report(results: Results | Sequence[Results], path: str | Path) -> None:
    """A page of one experiment, or of several with what they show together.

    :raises ValueError: there is none.
    :raises OSError: the file can't be written.
    """
    # matplotlib, which only a page needs, takes a second to import.
    from .page import page_of

    several = [results] if isinstance(results, Results) else list(results)
    if not several:
        raise ValueError("no results")
    Path(path).write_text(page_of(several, [analyse(each) for each in several]), encoding="utf-8")


def print_report(results: Results | Sequence[Results], console: Console) -> None:
    """Tables for a terminal of 80 columns and more, one experiment after the other."""
    from .table import print_tables

    for each in [results] if isinstance(results, Results) else results:
        print_tables(each, analyse(each), console)
