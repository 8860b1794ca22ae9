"""What each figure of the report means, in a sentence or two."""

from __future__ import annotations

from ..statistics import CONFIDENCE, RESAMPLES

DEFINITIONS = (
    ("T", "Wall time of a session: from the moment the client had its task until the last turn had ended."),
    (
        "T*",
        "The limit: the same session on the same engine alone, measured in the same repeat. T* = T_pre + sum over "
        "turns (prefill of the tokens that are new in the turn + decode + longest tool of the turn + round trip) + "
        "T_post. Tools count as they really ran in the session that is compared. T_pre (validate, resolve, guards, "
        "render, tokenise) and T_post (postinference) are those of design e, which does them once a session.",
    ),
    ("T*/T", "Efficiency. Tools that start while the model still samples (design f) can take it above 100%."),
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
        "out of order by a little, a border is moved to the one before. Stages are means, since means add up: with "
        "what lies between turns (the residual, computed from the turns' ends alone) they are the mean wall time of a "
        "session. An outside server has no spans: what it does is seen from the client only.",
    ),
    (
        "growth",
        "A line by least squares through the cost of a turn without its tools, over the tokens in its context; and the "
        "median cost of the last turns to that of the first ones (a tenth of the session, at least ten turns, at most "
        "half of it). The first turn, which computes the prompt, is left out. The engine's own growth is shown "
        "beside it.",
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
        "While a turn streams, as the client sees it: tokens after the first one, over the time from the first "
        "event that carries output to the last event of the turn.",
    ),
    (
        "intervals",
        f"{CONFIDENCE:.0%} bootstrap intervals of the median ({RESAMPLES:,} draws, fixed seed). What is drawn again is "
        "whole repeats of the experiment, never single turns, which are not independent of each other. Designs are "
        "compared within the same repeat. The order of designs was random in each repeat.",
    ),
)
