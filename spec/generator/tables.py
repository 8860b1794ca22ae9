"""States, refusals, errors, limits and requirements, as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields

from caesura.client.conformance.requirements import REQUIREMENTS
from caesura.protocol import errors
from caesura.protocol.limits import Limits
from caesura.protocol.state import ENDED, TRANSITIONS, State, Stimulus, refusal

from .shapes import plain
from .text import headings_of_requirements

_REQUESTS = {
    "append: a new output": (Stimulus.APPEND_PART, Stimulus.APPEND_LAST),
    "append: known outputs only": (Stimulus.APPEND_AGAIN,),
    "append: a message, no new output": (Stimulus.MESSAGES,),
    "cancel": (Stimulus.CANCEL,),
    "resume": (Stimulus.RESUME,),
}

_EFFECTS: dict[str, type[errors.CaesuraError] | str] = {
    "max_message_bytes": errors.MessageTooLarge,
    "max_depth": errors.MessageTooDeep,
    "max_append_items": errors.TooManyItems,
    "max_named_lanes": errors.StreamLimitReached,
    "max_waiting": errors.Overloaded,
    "max_remembered": "the one used longest ago is forgotten",
    "max_sampling": "the create waits",
    "max_open_per_connection": errors.ConnectionResponseLimitReached,
    "max_open_per_credential": errors.CredentialResponseLimitReached,
    "max_unsent_events": errors.SlowReader,
    "max_unsent_bytes": errors.SlowReader,
    "max_replay_events": errors.EventsLost,
    "max_replay_bytes": errors.EventsLost,
    "max_replay_bytes_in_all": errors.EventsLost,
    "max_ended": errors.ResponseNotFound,
    "pause_timeout": "`response.incomplete`, reason `append_timeout`",
    "grace": "`response.cancelled`, reason `abandoned`; an ended one is forgotten",
    "lifetime": errors.ConnectionLimitReached,
    "ping_interval": "without a pong within 20 s, the connection closes",
}
"""What a peer sees of a limit that is reached."""


def states() -> str:
    """The state table."""
    lines = ["| state | what happens | next state |", "|---|---|---|"]
    for state, row in TRANSITIONS.items():
        lines += [f"| {state.value} | {what.value} | {row[what].value} |" for what in Stimulus if what in row]
    return "\n".join(lines)


def diagram() -> str:
    """The same in Mermaid; what leaves a state as it is is not drawn."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.NEW.value}"]
    for state, row in TRANSITIONS.items():
        for target in State:
            names = [what.value for what in Stimulus if row.get(what) is target]
            if names and target is not state:
                lines.append(f"    {state.value} --> {target.value}: {'<br/>'.join(names)}")
    lines += [f"    {state.value} --> [*]" for state in State if state in ENDED]
    return "\n".join([*lines, "```"])


def refusals() -> str:
    """What a client's message for a Response meets in each state: the next state, or the error's code."""
    lines = [_row("state", *_REQUESTS), "|" + "---|" * (len(_REQUESTS) + 1)]
    lines += [_row(state.value, *(_outcome(state, kinds) for kinds in _REQUESTS.values())) for state in State]
    return "\n".join(lines)


def _outcome(state: State, kinds: Iterable[Stimulus]) -> str:
    targets = dict.fromkeys(TRANSITIONS[state][kind].value for kind in kinds if kind in TRANSITIONS[state])
    if targets:
        return " or ".join(targets)
    codes = {refusal(state, kind).code for kind in kinds}
    assert len(codes) == 1, f"one column, several errors in {state}: {codes}"
    return f"`{codes.pop()}`"


def error_codes() -> str:
    """Every error that a peer can see: the leaves of the tree, less what is raised on one's own side."""
    found: list[type[errors.CaesuraError]] = []
    stack: list[type[errors.CaesuraError]] = [errors.CaesuraError]
    while stack:
        cls = stack.pop()
        stack += cls.__subclasses__()
        local = issubclass(cls, errors.ProtocolViolation)
        if cls.__module__ == errors.__name__ and not cls.__subclasses__() and not local:
            found.append(cls)
    lines = ["| code | status | type | meaning |", "|---|---|---|---|"]
    for cls in sorted(found, key=lambda cls: (cls.status, cls.code)):
        lines.append(f"| `{cls.code}` | {cls.status} | `{cls.type}` | {plain(cls.__doc__)} |")
    return "\n".join(lines)


def limits() -> str:
    """Every bound with its default, and what is seen when it is reached."""
    meanings = dict(re.findall(r":ivar (\w+): ([^:]+?)\s*(?=:ivar|\Z)", " ".join((Limits.__doc__ or "").split())))
    names = [field.name for field in fields(Limits)]
    assert names == list(meanings) == list(_EFFECTS), "Limits, its docstring and _EFFECTS name different limits"
    lines = ["| limit | default | meaning | when it is reached |", "|---|---|---|---|"]
    for name in names:
        effect = _EFFECTS[name]
        seen = effect if isinstance(effect, str) else f"`{effect.code}`"
        lines.append(f"| `{name}` | {_amount(name, getattr(Limits(), name))} | {plain(meanings[name])} | {seen} |")
    return "\n".join(lines)


def _amount(name: str, value: float) -> str:
    if "_bytes" in name:
        return f"{value / (1 << 20):,g} MiB"
    return f"{value:,g} s" if isinstance(value, float) else f"{value:,}"


def requirements(text: str) -> str:
    """The index: every requirement, and the section of the text that states it."""
    sections = headings_of_requirements(text)
    lines = ["| id | level | role | requirement | section |", "|---|---|---|---|---|"]
    for found in REQUIREMENTS.values():
        title, anchor = sections.get(found.id, ("missing", ""))
        lines.append(f"| `{found.id}` | {found.level} | {found.role} | {found.text} | [{title}](#{anchor}) |")
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
