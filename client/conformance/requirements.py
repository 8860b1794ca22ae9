"""Every requirement of the protocol, by the id that the text (``spec/PROTOCOL.md``), this list and the tests share.

The text explains; this list is what a check quotes. A test compares the three sets both ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Requirement:
    """``level`` is an RFC 2119 word, MUST or SHOULD (the negative ones too); ``role`` is who has to keep it: ``server``,
    ``client`` or ``both``; ``text`` is one sentence."""

    id: str
    level: str
    role: str
    text: str

    @property
    def is_must(self) -> bool:
        return self.level == "MUST"


_SERVER_MUST = """
open-header | A handshake whose `OpenAI-Beta` header lists `responses_websockets=2026-02-04` opens append mode.
open-query | The query parameter `responses_websockets=2026-02-04` opens append mode too.
open-opt-in | A connection that asked for append mode in neither way is never sent a message of append mode.
binary-refused | A binary frame is answered with the error `binary_frame`.
bad-json | A frame that is not a JSON object is answered with the error `invalid_json`.
unknown-type | A message of an unknown type is answered with the error `unknown_message_type`.
unknown-fields | Fields that are not known are ignored.
error-shape | An `error` carries `status`, `sequence_number` and `error` with `type`, `code`, `message` and `param`.
error-lives | An error that answers a message leaves the connection open and every Response as it was.
error-apart | An error takes no sequence number from a Response.
error-lane | An error that answers a message on a named lane echoes its `stream_id`.
preinference-once | Preinference happens exactly once for each Response.
postinference-once | Postinference happens exactly once for each Response that completes.
created-first | The first event of a Response that begins is `response.created`, with id, `created_at`, `model` and status `in_progress`.
sequence-numbers | `sequence_number` begins at 0 and rises by one with every event of a Response, across pauses.
output-index | `output_index` goes on across pauses; no two items have the same.
event-order | An item is added before anything is said of it, and nothing is said of it after it is done.
usage-cumulative | `usage` counts the whole Response and each token once.
final-output | The last event of a Response carries its whole output, in the order of `output_index`.
done-fields | `response.done` carries the id, status `in_progress`, usage, output and `required_input`.
done-segment | The output of `response.done` holds the items that were done since the pause before, and no others.
done-required-input | `required_input` names every open call by `type`, `call_id` and `name`, in the order of sampling.
done-silence | Between `response.done` and the append that ends the pause, nothing but acknowledgements and the Response's end is sent for it.
append-resumes | The append that answers the last open call ends the pause, and the Response goes on with the next sequence number.
append-response-id | A `response_id` in an append names the Response that it is for.
append-lane | An append without `response_id` is for the open Response of its lane.
append-one-by-one | The calls of a pause may be answered by several appends, in any order.
append-ack | An accepted append that does not end a pause is acknowledged by `response.appended` with the id, the calls that it answered and the calls still open.
append-ack-numbered | Acknowledgements have sequence numbers of the Response.
append-early | A call may be answered from its `response.output_item.done` on, even while the model still samples.
append-early-no-pause | If no call is open when the model stops after its calls, the Response goes on without a pause.
append-atomic | An append with one bad item is refused whole, and the Response stays as it was.
append-error-input | The error that refuses an append carries `response_id`, if it has found its Response, and the raw `input`.
append-idempotent | An output that is known already, word for word and with the same status, is acknowledged and changes nothing.
append-conflict | A different output for an answered call is refused with `tool_call_already_answered`.
append-unknown-call | An output for a call that the Response does not have is refused with `tool_call_not_found`.
append-ended | An append to a Response that has ended is refused with `response_already_completed`.
append-no-response | An append for which there is no Response is refused with `response_not_found`.
append-order | Outputs enter the context in the order in which their calls were sampled, whatever order they arrive in.
append-messages | An append may bring user and developer messages after its outputs; they enter the context after the outputs.
append-messages-last | An append in which an output follows a message is refused with `invalid_value`.
append-messages-role | An append that brings an assistant message is refused with `invalid_value`.
append-messages-paused | While the model samples, an append without a new output that brings a message is refused with `response_not_paused`.
append-parts | An output may be a string or a list of text parts.
append-failed | An output may carry the status `failed`.
cancel-sampling | `response.cancel` ends a Response that is being sampled.
cancel-paused | `response.cancel` ends a Response that is paused.
cancel-final | A cancelled Response ends with `response.cancelled`, status `cancelled`, its output so far, and a reason.
cancel-append | An append to a cancelled Response is refused with `response_already_completed`, and the message says that it was cancelled.
cancel-unknown | A cancel for which there is no Response is refused with `response_not_found`.
cancel-ended | A cancel of a Response that has ended is refused with `response_already_completed`.
supersede | A create on the lane of a paused Response ends that Response as cancelled with reason `superseded`, before the new one is created.
supersede-rejected | A create that is refused leaves the paused Response of its lane as it was.
lane-name | A `stream_id` that is not 1 to 256 of `[A-Za-z0-9_.-]` is refused with `invalid_stream_id`.
lane-limit | A name beyond the bound on lanes is refused with `websocket_stream_limit_reached`.
lane-echo | Events on a named lane echo its `stream_id`.
lane-default | Events on the default lane have no `stream_id`.
lane-order | Creates of one lane run one after the other, in their order.
lane-concurrent | Responses of different lanes run beside each other.
lane-sampling | No create begins while the bound of Responses that sample at once is reached; a paused one does not count.
create-idempotent | A create with the `idempotency_key` of a Response that its owner still has begins none, and resumes that one from its start.
detached-lives | A Response outlives its connection, and is sampled on to its next pause or its end.
resume-first | The answer to `response.resume` begins with `response.resumed`, which says where the Response stands.
resume-replay | Resuming replays every event after `starting_after`, exactly once, in order, as it was first sent.
resume-continues | After the replay the Response goes on, on the connection that resumed it.
resume-ended | A Response that ended while nobody was attached can be resumed within the grace period.
resume-takeover | Whoever resumes takes the Response over: no other connection is sent its events any more.
resume-told | The connection that loses a Response to another is told by `response.detached`.
resume-elsewhere | An append or a cancel for a Response that another connection carries, or none, is refused with `response_detached`.
resume-order | A resume on a connection that is older than the one that carries the Response is refused with `response_detached`.
resume-decided | An append that came before a resume is decided before the resume is answered.
resume-gap | If the buffer does not reach back, `response.resume` is refused with `events_lost`, and never leaves a gap unsaid.
resume-snapshot | That error carries a snapshot from whose `sequence_number` the Response can be resumed.
resume-credential | A Response is not found by anyone with other credentials than it was created with.
resume-unknown | Resuming a Response that is unknown or forgotten is refused with `response_not_found`.
resume-position | A `starting_after` beyond the last event is refused with `invalid_value`.
resume-busy | Resuming onto a lane that carries another open Response is refused with `stream_busy`.
pause-timeout | A Response that is paused for longer than the pause timeout ends as incomplete with reason `append_timeout`.
grace-period | A Response that nobody resumes within the grace period ends as cancelled with reason `abandoned`.
lifetime-close | At the end of its lifetime a connection is sent `websocket_connection_limit_reached` and closed, once no Response is being sampled on it.
lifetime-resumable | The Responses of a connection that was closed for its age can be resumed.
ping-pong | A ping is answered with a pong that carries the same data.
limit-message-size | A message beyond the bound on its size is refused with `message_too_large`.
limit-depth | A message nested beyond the bound is refused with `message_too_deep`.
limit-append-items | An append with more items than allowed is refused with `too_many_items`.
limit-open-connection | A create beyond the open Responses of a connection is refused with `connection_response_limit_reached`.
limit-open-credential | A create beyond the open Responses of a credential is refused with `credential_response_limit_reached`.
limit-slow-reader | A client that reads too slowly is detached with `slow_reader`, and its Responses can be resumed.
"""

_SERVER_SHOULD = """
open-echo | The answer to the handshake repeats the `OpenAI-Beta` value that opened append mode.
done-size | What a pause sends does not grow with the number of pauses before it.
ping-sent | An idle client is sent a ping from time to time.
"""

_CLIENT_MUST = """
text-frames | Every message is one text frame that holds one JSON object with a `type`.
client-unknown-events | Events of unknown types are passed over.
client-done | `response.done` is a pause, not the end of the Response.
client-own-calls | Outputs are appended only for local calls whose `response.output_item.done`, with status `completed`, or whose entry in `required_input` has come.
client-answers-all | Every call of a pause is answered, or the Response is cancelled.
client-no-history | An append carries new items only.
client-same-output | A call that is answered again is answered with the same output.
client-events-once | No event is given to the user twice, after a resume either.
client-gap | A gap in the sequence numbers is noticed; nothing after it is given to the user as if nothing were missing.
client-binary | A binary frame or a frame that is no JSON is treated as a broken connection.
"""

_CLIENT_SHOULD = """
client-resume | After a lost connection the client connects again and resumes each open Response after the last event that it has.
client-retry | Appends that nothing acknowledged are sent again after the replay.
client-backoff | Attempts to connect again wait longer and longer on the whole, with jitter, and end after a bound.
client-cancel-tools | When a Response is cancelled, its tools that still run are cancelled.
"""


def _read(level: str, role: str, lines: str) -> dict[str, Requirement]:
    pairs = (line.split(" | ", 1) for line in lines.strip().splitlines())
    return {name: Requirement(name, level, role, text) for name, text in pairs}


REQUIREMENTS: Mapping[str, Requirement] = MappingProxyType(
    _read("MUST", "server", _SERVER_MUST)
    | _read("SHOULD", "server", _SERVER_SHOULD)
    | _read("MUST", "client", _CLIENT_MUST)
    | _read("SHOULD", "client", _CLIENT_SHOULD)
)
"""In the order of the text's chapters, the server's first."""
