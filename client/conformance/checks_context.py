"""What enters the context, in which order. It is not on the wire; the log-probabilities of the text after it tell."""

from __future__ import annotations

from dataclasses import dataclass

from .drivers import Turn
from .events import Event, objects
from .outcome import CheckFailed, Violation
from .rollout import Rollout, message, output_for
from .server_case import ServerCase, check, two_calls

TOLERANCE = 1e-4

TEXT = Turn("The results are here, and this is the answer.")


@dataclass(frozen=True)
class Said:
    """What the model said: the arguments of its calls, and then a text, in tokens with their log-probabilities."""

    arguments: tuple[str, ...]
    tokens: tuple[tuple[str, float], ...]

    def __eq__(self, other: object) -> bool:
        """Whether it was sampled from the same context, as far as it shows.

        :raises CheckFailed: the calls differ, so the contexts were others before the append.
        """
        assert isinstance(other, Said)
        if self.arguments != other.arguments:
            raise CheckFailed("the model does not make the same calls each time, so the order can't be seen")
        return [token for token, _ in self.tokens] == [token for token, _ in other.tokens] and all(
            abs(a - b) <= TOLERANCE for (_, a), (_, b) in zip(self.tokens, other.tokens, strict=True)
        )


async def _rollout(case: ServerCase) -> tuple[Rollout, Event, Event]:
    peer = await case.connect()
    rollout = await case.paused(peer, *two_calls(TEXT), include=["message.output_text.logprobs"], temperature=0)
    a, b = rollout.log.open_calls[:2]
    return rollout, a, b


async def _said(rollout: Rollout) -> Said:
    final = await rollout.end()
    arguments = tuple(str(call.get("arguments")) for call in rollout.log.calls)
    parts = [part for item in objects(final["response"].get("output")) for part in objects(item.get("content"))]
    tokens = [
        (str(each.get("token")), float(each["logprob"])) for part in parts for each in objects(part.get("logprobs"))
    ]
    if not tokens:
        raise CheckFailed("no log-probabilities came, though `include` asked for them, so the order can't be seen")
    return Said(arguments, tuple(tokens))


def _tell_apart(left: Said, right: Said) -> None:
    if left == right:
        raise CheckFailed("contexts that differ give the same log-probabilities, so the order can't be seen")


@check("append-order")
async def order_of_sampling(case: ServerCase) -> None:
    """The calls answered together in order, together in the wrong order, and one by one in the wrong order: the text
    after them is as likely each time. With the outputs exchanged it is not."""
    first, second = "The first of two results.", "Another one, 17."
    rollout, a, b = await _rollout(case)
    await rollout.append([output_for(a, first), output_for(b, second)])
    expected = await _said(rollout)

    rollout, a, b = await _rollout(case)
    await rollout.append([output_for(a, second), output_for(b, first)])
    _tell_apart(expected, await _said(rollout))

    rollout, a, b = await _rollout(case)
    await rollout.append([output_for(b, second), output_for(a, first)])
    if expected != await _said(rollout):
        raise Violation("append-order", "outputs in one append, in another order than the calls, change the text")

    rollout, a, b = await _rollout(case)
    await rollout.append([output_for(b, second)])
    await rollout.until("response.appended", requirement="append-ack")
    await rollout.append([output_for(a, first)])
    if expected != await _said(rollout):
        raise Violation("append-order", "outputs in two appends, the last call's first, change the text")


@check("append-messages")
async def messages_come_after_all_outputs(case: ServerCase) -> None:
    """A message that came with the first of two outputs is in the context after both, before one that came later."""
    early, late = message("user", "Think of the sea."), message("developer", "Count to three.")
    rollout, a, b = await _rollout(case)
    await rollout.append([output_for(a, "one"), output_for(b, "two"), early, late])
    expected = await _said(rollout)

    rollout, a, b = await _rollout(case)
    await rollout.append([output_for(a, "one"), output_for(b, "two"), late, early])
    _tell_apart(expected, await _said(rollout))

    rollout, a, b = await _rollout(case)
    await rollout.append([output_for(b, "two"), early])
    await rollout.until("response.appended", requirement="append-messages")
    await rollout.append([output_for(a, "one"), late])
    if expected != await _said(rollout):
        raise Violation("append-messages", "messages that came with two appends are not after the outputs, in order")
