"""What a step of a simulated engine takes: a roofline of two rates.

    decode=1000,prefill=10000,attention=0,batch=0

A step is bound by what it reads or by what it computes, whichever takes longer (Williams, Waterman, Patterson,
"Roofline", 2009). It reads the weights once for all sequences, which is what one sequence that decodes alone waits for;
it computes for every token, which is what a prefill waits for. Attention comes on top, since it grows with the context.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from .errors import InvalidCostModel

PREFILL_ADVANTAGE = 10
LEAST_PREFILL = 10_000.0
"""Where prefill isn't given, it is so many times faster than decode, and at least so fast."""

MAX_RATE = 1e9
MAX_ATTENTION = 1e6


@dataclass(frozen=True, slots=True)
class CostModel:
    """decode: tokens/s of one sequence alone.
    prefill:   tokens/s that a step computes at most, all of its sequences together; not below `decode`.
    attention: microseconds that a token takes more for every 1,000 tokens of context before it.
    batch:     part of a step of one sequence that each further one adds; 0 if they are free, 1 if nothing is gained.

    Raises InvalidCostModel.
    """

    decode: float
    prefill: float
    attention: float = 0.0
    batch: float = 0.0

    def __post_init__(self) -> None:
        _check("decode", self.decode, "tokens/s above 0", 0 < self.decode <= MAX_RATE)
        _check("prefill", self.prefill, "tokens/s, at least those of decode", self.decode <= self.prefill <= MAX_RATE)
        _check("attention", self.attention, "microseconds from 0 to 1,000,000", 0 <= self.attention <= MAX_ATTENTION)
        _check("batch", self.batch, "a part from 0 to 1", 0 <= self.batch <= 1)

    @classmethod
    def parse(cls, text: str) -> CostModel:
        """From `name=value` pairs with commas between them; a number alone is decode.

        Raises InvalidCostModel.
        """
        values: dict[str, float] = {}
        for part in text.split(","):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                name, value = "decode", name
            if name not in _NAMES:
                raise InvalidCostModel(f"a simulated engine has no {name!r}: it has {', '.join(_NAMES)}")
            if name in values:
                raise InvalidCostModel(f"{name} is given twice")
            try:
                values[name] = float(value)
            except ValueError:
                raise InvalidCostModel(f"{name} must be a number, not {value!r}") from None
        if "decode" not in values:
            raise InvalidCostModel("decode=TOKENS_PER_SECOND is missing: how fast one sequence is sampled alone")
        values.setdefault("prefill", max(PREFILL_ADVANTAGE * values["decode"], LEAST_PREFILL))
        return cls(**values)

    def __str__(self) -> str:
        """As `parse` takes it."""
        return ",".join(f"{name}={float(getattr(self, name))!r}".removesuffix(".0") for name in _NAMES)

    def describe(self) -> str:
        """For people."""
        text = f"decode {self.decode:.10g} tokens/s, prefill {self.prefill:.10g} tokens/s"
        text += f", attention {self.attention:.10g} us a token per 1,000 tokens of context"
        return text + f", each further sequence {self.batch:.10g} of a step"

    def step_ns(self, rows: int, tokens: int, context: int = 0) -> int:
        """Nanoseconds of a step.

        rows:    sequences in it.
        tokens:  all that it computes, at least one a row.
        context: over all of those tokens, the sum of the tokens that come before each.
        """
        read = (1 + self.batch * (rows - 1)) / self.decode
        return round(1e9 * max(read, tokens / self.prefill) + self.attention * context)


_NAMES = tuple(field.name for field in fields(CostModel))


def _check(name: str, value: float, wanted: str, fits: bool) -> None:
    if not math.isfinite(value) or not fits:
        raise InvalidCostModel(f"{name} of a simulated engine must be {wanted}, not {value:g}")
