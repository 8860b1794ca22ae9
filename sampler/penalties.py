"""Presence and frequency penalties, as OpenAI defines them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


class Penalties:
    """What each token that was sampled before loses from its logit. Only those tokens are looked at."""

    def __init__(self, presence: float, frequency: float, sampled: Iterable[int] = ()) -> None:
        """sampled: the tokens so far."""
        self._presence = presence
        self._frequency = frequency
        counts = Counter(sampled)
        self._places = {token: place for place, token in enumerate(counts)}
        self._used = len(counts)
        capacity = max(64, 2 * self._used)
        self._tokens = np.zeros(capacity, np.intp)
        self._amounts = np.zeros(capacity, np.float32)
        self._counts = np.zeros(capacity, np.int64)
        self._tokens[: self._used] = list(counts)
        self._counts[: self._used] = list(counts.values())
        self._amounts[: self._used] = presence + frequency * self._counts[: self._used]

    def count(self, token: int) -> None:
        """`token` was sampled once more."""
        place = self._places.get(token)
        if place is None:
            place = self._places[token] = self._used
            self._used += 1
            if place == self._tokens.size:
                self._tokens, self._amounts, self._counts = (
                    np.concatenate([array, np.zeros_like(array)])
                    for array in (self._tokens, self._amounts, self._counts)
                )
            self._tokens[place] = token
        self._counts[place] += 1
        # Made anew from the count: sums of roundings would depend on where the sequence was taken up again.
        self._amounts[place] = self._presence + self._frequency * int(self._counts[place])

    def apply(self, logits: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The logits less what their tokens lose; a copy."""
        penalised = logits.copy()
        penalised[self._tokens[: self._used]] -= self._amounts[: self._used]
        return penalised
