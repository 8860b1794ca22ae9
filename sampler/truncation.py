"""Which tokens a draw may take: top_k, top_p and min_p.

Each keeps the likeliest tokens; of equally likely ones those with the lowest ids, so that the choice is deterministic.
None of them sorts the vocabulary: with 152k tokens that takes 50 times as long as what is done here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.intp]
Row = npt.NDArray[np.float32]

_STRIPES = 64


def top_k_ids(logits: Row, k: int) -> Ids:
    """Ids of the `k` largest logits, ascending. There are no NaN among them, and 1 <= k <= len(logits)."""
    size = logits.size
    columns = size // _STRIPES
    if k >= size:
        return np.arange(size)
    if k * 4 <= columns:
        # The k-th largest of the maxima of `columns` disjoint sets is no larger than the k-th largest of all.
        maxima = logits[: columns * _STRIPES].reshape(_STRIPES, columns).max(axis=0)
        maxima.partition(columns - k)
        ids = (logits >= maxima[columns - k]).nonzero()[0]
        values = logits[ids]
    else:
        ids, values = None, logits
    bound = np.partition(values, values.size - k)[values.size - k]
    kept = _keep(values, bound, k)
    return kept if ids is None else ids[kept]


def top_p_ids(weights: Row, p: float) -> Ids:
    """Ids, ascending, of the smallest set of the largest weights that has at least the share `p` of their sum.

    At least one; all that have any weight if p is 1.
    """
    total = float(weights.sum(dtype=np.float64))
    # All tokens below this share of the rest can't make up the rest even together, so none of them is in the set.
    ids = (weights > (1.0 - p) * total / weights.size).nonzero()[0]
    if not ids.size:
        ids = np.arange(weights.size)  # all equal, but for rounding
    values = weights[ids]
    descending = np.sort(values)[::-1]
    running = descending.cumsum(dtype=np.float64)
    count = min(int(running.searchsorted(p * total)) + 1, ids.size)
    return ids[_keep(values, descending[count - 1], count)]


def min_p_mask(logits: Row, peak: np.float32, p: float) -> npt.NDArray[np.bool_]:
    """Where a token is at least `p` times as likely as the likeliest, whose logit is `peak`; 0 < p <= 1."""
    return logits >= peak + np.float32(np.log(p))


def _keep(values: Row, bound: np.float32, count: int) -> Ids:
    """Indices of the `count` largest values, the smallest of which is `bound`."""
    kept = (values >= bound).nonzero()[0]
    surplus = kept.size - count
    if surplus > 0:
        equal = (values[kept] == bound).nonzero()[0]
        kept = np.delete(kept, equal[equal.size - surplus :])
    return kept
