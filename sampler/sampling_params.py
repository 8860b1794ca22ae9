"""How to choose tokens, checked."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InvalidSamplingParams

MAX_STOP_STRINGS = 16
MAX_STOP_BYTES = 4096
MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to choose tokens. Every field is checked here, so nothing invalid reaches the engine.

    temperature: 0 means greedy. At most 100.
    top_k:       keep the k likeliest tokens; 0 keeps all. Applied first: with a large vocabulary top_p or temperature
                 alone must look at every token, at up to 10 ms a token.
    top_p:       then keep the smallest set with at least this probability; 1 keeps all.
    min_p:       then drop tokens below this fraction of the likeliest; 0 keeps all.
    presence_penalty:  subtracted from the logits of every token that was sampled before in this sequence. -2 to 2.
    frequency_penalty: the same, once for each time it was sampled. -2 to 2.
    seed:        makes the tokens reproducible: the draw at a position depends on the seed and the position alone,
                 whatever else runs and however often the sequence was paused. None takes a fresh random one.
    stop_tokens: sampling ends after any of these, which is delivered too.
    stop:        sampling ends after the token that completes any of these strings in the sampled text. At most 16 of
                 them with 4,096 bytes of UTF-8 in all.
    max_tokens:  bound on the tokens of this `sample` call; None leaves only the context's.
    logprobs:    record each token's natural log-probability under the model itself, that is
                 before penalties, temperature, truncation and grammar.
    top_logprobs: the same for this many of the likeliest tokens at each position, at most 20.
    banned:      tokens that are never sampled, whatever else would allow them.
    grammar:     what may be sampled, as a grammar of `grammar.py`, which checks it further; None for anything.

    Raises InvalidSamplingParams, whose `.param` names the field.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop_tokens: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    banned: frozenset[int] = frozenset()
    grammar: str | None = None

    def __post_init__(self) -> None:
        _check_number("temperature", self.temperature, 0.0, 100.0)
        _check_integer("top_k", self.top_k, 0, 2**31 - 1)
        _check_number("top_p", self.top_p, 0.0, 1.0)
        _check_number("min_p", self.min_p, 0.0, 1.0)
        _check_number("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _check_number("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        if self.seed is not None:
            _check_integer("seed", self.seed, 0, 2**63 - 1)
        if self.max_tokens is not None:
            _check_integer("max_tokens", self.max_tokens, 1, 2**31 - 1)
        for name, tokens in (("stop_tokens", self.stop_tokens), ("banned", self.banned)):
            if not isinstance(tokens, frozenset):
                raise InvalidSamplingParams(name, "must be a frozenset of token ids")
            for token in tokens:
                _check_integer(name, token, 0, 2**31 - 1)
        if not isinstance(self.logprobs, bool):
            raise InvalidSamplingParams("logprobs", "must be true or false")
        _check_integer("top_logprobs", self.top_logprobs, 0, MAX_TOP_LOGPROBS)
        if self.stop != ():
            _check_stop(self.stop)
        if self.grammar is not None and (not isinstance(self.grammar, str) or not self.grammar):
            raise InvalidSamplingParams("grammar", "must be a text that isn't empty")

    @property
    def greedy(self) -> bool:
        """True when the likeliest token is always taken."""
        return self.temperature == 0.0 or self.top_k == 1

    @property
    def penalised(self) -> bool:
        """True when the tokens sampled so far change what is sampled next."""
        return self.presence_penalty != 0.0 or self.frequency_penalty != 0.0

    @property
    def is_argmax(self) -> bool:
        """True when each token is the argmax of the logits and nothing else is asked for: no chooser is needed."""
        return (
            self.greedy
            and not self.logprobs
            and not self.top_logprobs
            and not self.stop
            and self.grammar is None
            and not self.penalised
            and not self.banned
        )


def _check_stop(stop: object) -> None:
    if not isinstance(stop, tuple):
        raise InvalidSamplingParams("stop", "must be a tuple of strings")
    if len(stop) > MAX_STOP_STRINGS:
        raise InvalidSamplingParams("stop", f"{len(stop)} strings where at most {MAX_STOP_STRINGS} can be given")
    size = 0
    for text in stop:
        if not isinstance(text, str) or not text:
            raise InvalidSamplingParams("stop", "must hold strings that aren't empty")
        # Every character is a byte at least: a huge string is refused before it is copied.
        size += len(text)
        if size <= MAX_STOP_BYTES:
            try:
                size += len(text.encode()) - len(text)
            except UnicodeEncodeError:
                raise InvalidSamplingParams("stop", "holds a lone surrogate, which no text can contain") from None
        if size > MAX_STOP_BYTES:
            raise InvalidSamplingParams("stop", f"the strings together are longer than {MAX_STOP_BYTES} bytes")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    # bool is an int to isinstance; NaN passes every comparison that is written the other way round; and an integer that
    # is too large for a float can be compared, but not printed as one.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidSamplingParams(name, f"must be a finite number between {low:g} and {high:g}")


def _check_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidSamplingParams(name, f"must be a whole number between {low} and {high}")
