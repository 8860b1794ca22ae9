"""Guards from the command line: ``NAME``, ``NAME=VALUE`` or ``NAME:SETTING=VALUE,SETTING=VALUE``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from .guard import Guard
from .limits_guard import LimitsGuard
from .secret_scanner import ACTIONS, SecretScanner


def _secrets(value: str, settings: Mapping[str, str]) -> Guard:
    if settings or value not in ("", *ACTIONS):
        raise ValueError(f"give secrets={' or secrets='.join(ACTIONS)}")
    return SecretScanner(value or "warn")


LIMITS = tuple(inspect.signature(LimitsGuard).parameters)


def _limits(value: str, settings: Mapping[str, str]) -> Guard:
    if value or not settings or not settings.keys() <= set(LIMITS):
        raise ValueError(f"give limits:NAME=NUMBER, with one or more of {', '.join(LIMITS)}")
    for name, number in settings.items():
        if not (number.isascii() and number.isdecimal() and 0 < int(number[:13]) < 10**12):
            raise ValueError(f"{name} must be a whole number above 0, not {number!r}")
    return LimitsGuard(**{name: int(number) for name, number in settings.items()})


GUARDS: Mapping[str, Callable[[str, Mapping[str, str]], Guard]] = {"secrets": _secrets, "limits": _limits}
"""What makes a guard of the text behind its name, by that name: of a value, and of settings."""


def parse_guard(text: str) -> Guard:
    """The guard that this describes: ``secrets=redact``, ``limits:max_output_chars=200000,max_input_items=500``.

    :raises ValueError: there is no such guard or setting; the message says what there is.
    """
    head, _, tail = text.partition(":")
    name, _, value = head.partition("=")
    if name not in GUARDS:
        raise ValueError(f"there is no guard {name!r}; the guards are {', '.join(GUARDS)}")
    settings: dict[str, str] = {}
    for setting in tail.split(",") if tail else ():
        key, equals, amount = setting.partition("=")
        if not equals or key in settings:
            raise ValueError(f"{setting!r} is no setting of its own; give NAME=VALUE, each name once")
        settings[key] = amount
    return GUARDS[name](value, settings)
