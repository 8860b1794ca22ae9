"""Whether a value that stands where a secret stands is one: not a placeholder, a name, a path or a piece of code.

Values are 8 to 256 characters here, or the whole of a token: none of this reads a text.
"""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(
    r"x{3,}|\*{2,}|\.{3}|<|\$|%[({]|\{\{|example|change[_-]?me|placeholder|your[_-]|redacted|dummy|"
    r"^(?:pass(?:word|wd)?|pwd|secret|user|test|none|null|true|false)\d{0,4}$",
    re.IGNORECASE,
)
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")


def any_value(value: str) -> bool:
    """Whatever has this form is a secret."""
    return True


def is_filled_in(value: str) -> bool:
    """It is no placeholder, of which documentation and templates are full."""
    return not _PLACEHOLDER.search(value[:512])


def is_random(value: str) -> bool:
    """It looks generated: letters and digits in no order. A name in kebab case has hardly a digit."""
    value = value[:512]
    digits, letters = sum(map(str.isdigit, value)), sum(map(str.isalpha, value))
    return digits >= 2 and letters >= 2 and len(set(value)) >= 8 and is_filled_in(value)


def is_password(value: str) -> bool:
    """Of what code, a configuration or a log assigns to a name such as `password`.

    Most of these are harmless: `password = form.password1`, `secret: db-credentials-v2`, `api_key=/run/keys/1.pem`. So
    a value has to mix letters and digits, and one that could be a name or a path has to look generated too.
    """
    digits = sum(map(str.isdigit, value))
    has_lower, has_upper = value.upper() != value, value.lower() != value
    if not digits or not (has_lower or has_upper) or len(set(value)) < 5 or not is_filled_in(value):
        return False
    if "/" in value:
        return len(value) >= 24 and has_lower and has_upper and is_random(value) and "." not in value
    if not _PLAIN.fullmatch(value):
        return True
    if "." in value or "-" in value:
        return len(value) >= 20 and digits >= 4 and is_random(value)
    return (has_lower and has_upper and digits >= 2) or (len(value) >= 20 and is_random(value))
