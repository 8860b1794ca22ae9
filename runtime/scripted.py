"""Requests that bring their own turns: what the conformance suite drives a server with.

A server started with ``--scripted`` takes the first user message for a script if it is JSON of the form
``{"caesura_script": {"turns": [...]}}`` (see :mod:`..sampler.replay`), and forces its turns through the engine in place
of sampling. Everything else goes its usual way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..protocol.errors import InvalidValue
from ..protocol.items import InputItem, InputMessage
from ..sampler.errors import InvalidReplay
from ..sampler.replay import ReplayScript

KEY = "caesura_script"


def scripted_turns(items: Sequence[InputItem]) -> ReplayScript | None:
    """The script of this input; None if it has none.

    :raises InvalidValue: it has one that can't be used.
    """
    text = next((item.text for item in items if isinstance(item, InputMessage) and item.role == "user"), "")
    if KEY not in text:
        return None
    try:
        given = json.loads(text)
    except ValueError:
        return None
    if not isinstance(given, dict) or KEY not in given:
        return None
    try:
        return ReplayScript.parse(given[KEY])
    except InvalidReplay as error:
        raise InvalidValue(f"The script can't be used: {error}.", param="input") from error
