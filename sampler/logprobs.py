"""Log-probabilities under the model itself: natural logarithm of the softmax of its raw logits."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .truncation import top_k_ids


def log_normaliser(logits: npt.NDArray[np.float32], peak: float) -> float:
    """The logarithm of the sum of exp(logits), whose largest is `peak` and finite. Its error is below 1e-6.

    The exponentials are in single precision, their sum in double. Exponentials in double take 12 times as long over
    152k tokens, for digits that the model's own arithmetic doesn't have.
    """
    return peak + math.log(float(np.exp(logits - np.float32(peak)).sum(dtype=np.float64)))


def top_logprobs(logits: npt.NDArray[np.float32], count: int, normaliser: float) -> tuple[tuple[int, float], ...]:
    """The `count` likeliest tokens (all, if there are fewer) with their log-probabilities, likeliest first.

    Of equally likely ones, the lower id comes first. Tokens of probability 0 aren't listed: JSON has no infinity.
    """
    ids = top_k_ids(logits, min(count, logits.size))
    values = logits[ids]
    order = np.argsort(-values, kind="stable")
    return tuple(
        (token, value - normaliser)
        for token, value in zip(ids[order].tolist(), values[order].tolist(), strict=True)
        if value > -math.inf
    )
