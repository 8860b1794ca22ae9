"""What each figure of the report means, in a sentence or two."""

from __future__ import annotations

from ..statistics import RESAMPLES

DEFINITIONS = (
    ("T", "Wall time of a session: from the moment the client had its task until the last turn had ended."),
    (
        "T*",
        "The limit: the same session on the same engine alone, measured in the same repeat. T* = T_pre + sum over "
        "turns (prefill of the tokens that are new in the turn + decode + longest tool of the turn + round trip) + "
        "T_post. Tools count as they really ran in the session that is compared. T_pre (validate, resolve, guards, "
        "render, tokenise) and T_post (postinference) are those of design e, which does them once a session. "
        "Connecting is outside of T and of T*, for every design.",
    ),
    (
        "T*/T",
        "Efficiency. Tools that start while the model still samples (design f) can take it above 100%. An outside "
        "server is compared with the T* of our designs' tokens; its own prompt is a little shorter.",
    ),
    (
        "overhead",
        "Of a boundary: wall time of a turn less the turn's own limit (prefill and decode on the engine alone), its "
        "longest tool and a round trip; over all turns of all repeats.",
    ),
    (
        "(T - T*) / N",
        "The same as a mean of a session: N is the number of its turns that were followed by another one.",
    ),
    (
        "boundary",
        "From the last token of a turn to the first token of the next one, both as the engine sampled them, less the "
        "tools, a round trip, and the prefill of the appended tokens on the engine alone. It needs the server's spans.",
    ),
    (
        "TTFT",
        "Time to first token: from the moment the client had all that the turn's request needs until it has read "
        "the first event that carries output.",
    ),
    (
        "stages",
        "A turn's wall time, cut at the stamps of client and server on one clock; where stamps of two processes are "
        "out of order by a little, a border is moved to the one before. They can be: a stamp is taken after its system "
        "call returns, so that the other side's can be earlier by some tenths of a millisecond, and the border between "
        "two stages is wrong by as much. Stages tile a turn by construction; the residual, computed from the turns' "
        "ends alone, shows only what lies between turns. Stages are means, since means add up: with the residual they "
        "are the mean wall time of a session. An outside server has no spans: what it does is seen from the client "
        "only.",
    ),
    (
        "growth",
        "A line by least squares through the cost of a turn without its tools and an added round trip, over the tokens "
        "in its context; and the median cost of the last turns to that of the first ones (a tenth of the session, at "
        "least ten turns, at most half of it). The first turn, which computes the prompt, is left out. The engine's "
        "own growth is shown beside it.",
    ),
    (
        "tokens",
        "given: input in the context, summed over turns. computed: prefilled for the turns. reused: in the KV cache "
        "already. sampled: by the model. An outside server's are as its answers say.",
    ),
    (
        "cpu",
        "Processor time of a turn by process. engine: the thread or process that runs llama.cpp; server: all else "
        "of it.",
    ),
    (
        "tokens/s",
        "While a turn streams: tokens after the first one, over the time from the first token, as the engine sampled "
        "it, until the client has read the last event of the turn. The first event that carries output is no measure: "
        "that of a call comes many tokens later. It is where the time of an outside server begins, which has no "
        "spans, so that its rate may be above what its engine does.",
    ),
    (
        "intervals",
        "Of a median of repeats, or of their ratios: the narrowest pair of the repeats' values, as far from either "
        "end, that holds the true median with a probability of 95% or more, whatever the distribution. With fewer than "
        "six repeats it is the smallest and the largest value, and holds it less often: 93.8% with five, 87.5% with "
        "four, 75% with three, 50% with two. Of quantiles over all turns (overhead, boundary, TTFT) and of slopes: "
        f"bootstrap intervals ({RESAMPLES:,} draws, fixed seed, 95% in name); with few repeats they are too narrow. "
        "What is drawn again is whole repeats of the experiment, never single turns, which are not independent of each "
        "other. Designs are compared within the same repeat. The order of designs was random in each repeat.",
    ),
)
