"""Every bound of the protocol that a server may choose, with its default (spec/PROTOCOL.md, Limits and Time)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are seconds.

    :ivar max_message_bytes: of one frame from a client, as UTF-8.
    :ivar max_depth: levels of arrays and objects in a message.
    :ivar max_append_items: items of one append.
    :ivar max_named_lanes: different ``stream_id`` on a connection; the default lane has none.
    :ivar max_waiting: creates that wait on one lane behind the Response there.
    :ivar max_remembered: ended Responses of a connection that a create can go on from (WebSocket mode).
    :ivar max_sampling: Responses of a connection that are sampled at once; further creates wait.
    :ivar max_open_per_connection: Responses that are open or wait on a connection.
    :ivar max_open_per_credential: Responses that are open or wait for a credential, attached or not.
    :ivar max_unsent_events: frames that wait for a slow reader before it is detached.
    :ivar max_unsent_bytes: the memory that they take.
    :ivar max_replay_events: events of a Response that are kept for a resume; at least one always is.
    :ivar max_replay_bytes: the memory that they take.
    :ivar max_replay_bytes_in_all: the memory that the kept events of all Responses take; beyond it a Response keeps
        fewer.
    :ivar max_ended: ended Responses of a credential that are kept for a resume, the latest ones.
    :ivar pause_timeout: how long a pause may last before the Response ends as incomplete.
    :ivar grace: how long a Response is kept that nobody is attached to, or that has ended.
    :ivar lifetime: of a connection.
    :ivar ping_interval: how often a client is pinged.
    """

    max_message_bytes: int = 16 << 20
    max_depth: int = 64
    max_append_items: int = 1024
    max_named_lanes: int = 32
    max_waiting: int = 16
    max_remembered: int = 64
    max_sampling: int = 16
    max_open_per_connection: int = 64
    max_open_per_credential: int = 4096
    max_unsent_events: int = 16_384
    max_unsent_bytes: int = 64 << 20
    max_replay_events: int = 8192
    max_replay_bytes: int = 2 << 20
    max_replay_bytes_in_all: int = 1 << 30
    max_ended: int = 1024
    pause_timeout: float = 3600.0
    grace: float = 600.0
    lifetime: float = 3600.0
    ping_interval: float = 20.0


DEFAULT_LIMITS = Limits()
