"""The options of ``caesura serve`` that :class:`.guard.Access` comes from."""

from __future__ import annotations

import argparse

from ...protocol.limits import DEFAULT_LIMITS
from .api_keys import ApiKeys
from .errors import AccessSettingsError
from .guard import Access, Bounds
from .origins import parse_origin

_DEFAULTS = Bounds()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to a parser, in a group of their own."""
    group = parser.add_argument_group("access")
    group.add_argument(
        "--api-key-file",
        metavar="FILE",
        help="let in only clients that send one of these keys as 'Authorization: Bearer KEY': one a line, # for "
        "comments",
    )
    group.add_argument(
        "--no-auth",
        action="store_true",
        help="let everybody in who reaches the server, on any --host and by any host name",
    )
    group.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let pages of this origin use the server from a browser, like https://example.com, or '*' for all; may be "
        "repeated (default: none)",
    )
    group.add_argument(
        "--max-connections",
        type=_positive,
        default=_DEFAULTS.max_connections,
        metavar="N",
        help="WebSockets that are open at once (default: %(default)s)",
    )
    group.add_argument(
        "--max-requests",
        type=_positive,
        default=_DEFAULTS.max_requests,
        metavar="N",
        help="HTTP requests in flight (default: %(default)s)",
    )
    group.add_argument(
        "--max-requests-per-key",
        type=_positive,
        default=_DEFAULTS.max_requests_per_credential,
        metavar="N",
        help="HTTP requests in flight of one API key (default: %(default)s)",
    )


def access_from(arguments: argparse.Namespace, max_body_bytes: int = DEFAULT_LIMITS.max_message_bytes) -> Access:
    """What the options of :func:`add_arguments` mean.

    :raises AccessSettingsError: they can't be used.
    """
    if arguments.no_auth and arguments.api_key_file is not None:
        raise AccessSettingsError("--no-auth and --api-key-file contradict each other. Leave one out.")
    return Access(
        keys=None if arguments.api_key_file is None else ApiKeys.load(arguments.api_key_file),
        allowed_origins=frozenset(map(parse_origin, arguments.allow_origin)),
        loopback_names_only=arguments.api_key_file is None and not arguments.no_auth,
        bounds=Bounds(
            max_body_bytes=max_body_bytes,
            max_connections=arguments.max_connections,
            max_requests=arguments.max_requests,
            max_requests_per_credential=arguments.max_requests_per_key,
        ),
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
