"""``caesura conform``: its options, and what becomes of them."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client_contract import CONTRACT

if TYPE_CHECKING:
    from .outcome import CheckOutcome, Verdict
    from .registry import Check, Registry
    from .settings import Settings

CONFORMS, DOES_NOT_CONFORM, NOT_RUN = 0, 1, 2


def conform(argv: list[str]) -> int:
    """Check a server or a client of the done/append protocol against every requirement that it has to keep.

    Returns 0 if no MUST is broken, 1 if one is, 2 if the server can't be reached or the client can't be run.

    :raises SystemExit: wrong usage (code 2) or ``--help``.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    from ..errors import ConnectionFailed
    from .client_suite import ClientNotReached
    from .server_checks import ServerNotReached

    try:
        verdict = _check_server(parser, options) if options.client is None else _check_client(parser, options)
        _write_files(verdict, options)
    except (ConnectionFailed, ServerNotReached, ClientNotReached, _UnusableFile) as error:
        print(f"caesura conform: {error}", file=sys.stderr)
        return NOT_RUN
    return CONFORMS if verdict.conforms else DOES_NOT_CONFORM


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="caesura conform",
        description=(conform.__doc__ or "").split("\n\n")[0],
        epilog=CONTRACT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", nargs="?", metavar="URL", help="the server, such as http://127.0.0.1:8080")
    parser.add_argument(
        "--client", metavar="CMD", help="check this client instead, such as 'my-client {url}'; see below"
    )
    parser.add_argument("--model", metavar="NAME", help="the model to use (default: the first that the server lists)")
    parser.add_argument(
        "--driver",
        choices=("auto", "scripted", "natural"),
        default="auto",
        help="how the model is made to call tools: by a script, or by asking (default: by a script if that works)",
    )
    parser.add_argument("--api-key", metavar="KEY", help="sent as Authorization: Bearer (default: $CAESURA_API_KEY)")
    parser.add_argument("--other-api-key", metavar="KEY", help="a second credential, for the checks that need two")
    parser.add_argument(
        "--declare",
        action="append",
        default=[],
        metavar="NAME=NUMBER",
        help="what the server is configured with, such as pause_timeout=2 (seconds) or max_replay_events=100; the "
        "checks that need such a bound are not run without it",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="ID", help="these requirements alone; patterns such as 'append-*' too"
    )
    parser.add_argument("--timeout", type=_seconds, default=10.0, metavar="SECONDS", help="of a wait (default: 10)")
    parser.add_argument("--jobs", type=_positive, default=4, metavar="N", help="checks at a time (default: 4)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there as JSON too")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write the report there as JUnit XML too")
    return parser


def _check_server(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Verdict:
    import asyncio

    from ..handshake import responses_url
    from .server_checks import checks
    from .settings import Settings, parse_declaration

    if options.url is None:
        parser.error("give the URL of the server, or --client")
    selected, asked = _selected(parser, options, checks, "server")
    try:
        declared = dict(map(parse_declaration, options.declare))
    except ValueError as error:
        parser.error(f"--declare: {error}")
    settings = Settings(
        url=responses_url(options.url),
        model=options.model or "",
        api_key=options.api_key or os.environ.get("CAESURA_API_KEY"),
        other_api_key=options.other_api_key,
        timeout=options.timeout,
        declared=declared,
    )
    return asyncio.run(_run_on_server(settings, selected, asked, options))


def _check_client(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Verdict:
    import asyncio
    import shlex

    from .client_suite import checks

    for name in ("url", "driver", "api_key", "other_api_key", "declare"):
        if getattr(options, name) != parser.get_default(name):
            parser.error(f"{'URL' if name == 'url' else '--' + name.replace('_', '-')} is for checking a server")
    try:
        command = shlex.split(options.client)
    except ValueError as error:
        parser.error(f"--client: {error}")
    if not command:
        parser.error("--client: the command is empty")
    selected, asked = _selected(parser, options, checks, "client")
    return asyncio.run(_run_on_client(command, selected, asked, options))


def _selected(
    parser: argparse.ArgumentParser, options: argparse.Namespace, checks: Registry[Any], role: str
) -> tuple[list[Check], list[str]]:
    for path in (options.json, options.junit):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"there is no directory {path.parent}")
    try:
        return checks.covering(options.only or ["*"])
    except KeyError as error:
        parser.error(f"--only: no {role} requirement is called {error.args[0]!r}")


async def _run_on_server(
    settings: Settings, selected: Sequence[Check], asked: Sequence[str], options: argparse.Namespace
) -> Verdict:
    import dataclasses
    from functools import partial

    from .server_checks import DRIVERS, check_server, find_driver, first_model

    if not settings.model:
        settings = dataclasses.replace(settings, model=await first_model(settings))
    driver = await find_driver(settings)
    if options.driver != "auto":
        driver = DRIVERS[options.driver]()
    facts = {"url": settings.url, "model": settings.model, "driver": driver.name}
    run = partial(check_server, settings, driver, selected, jobs=options.jobs)
    return await _judged(run, len(selected), asked, facts)


async def _run_on_client(
    command: Sequence[str], selected: Sequence[Check], asked: Sequence[str], options: argparse.Namespace
) -> Verdict:
    from functools import partial

    from .client_case import ClientSettings
    from .client_process import launch_command
    from .client_suite import check_client, probe

    settings = ClientSettings(timeout=options.timeout, **({"model": options.model} if options.model else {}))
    launch = launch_command(command)
    tools = await probe(settings, launch)
    facts = {"client": options.client, "tools": " ".join(sorted(tools))}
    run = partial(check_client, settings, launch, selected, jobs=options.jobs)
    return await _judged(run, len(selected), asked, facts)


async def _judged(
    run: Callable[..., Awaitable[list[CheckOutcome]]], num_checks: int, asked: Sequence[str], facts: dict[str, str]
) -> Verdict:
    """Run the checks, tell how far they are, and print what they come to."""
    import time

    from rich.console import Console

    from .outcome import judge
    from .report import print_verdict

    start = time.monotonic()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a peer may say what the terminal's encoding can't
    console = Console()
    ended = 0
    with Console(stderr=True).status("") as status:

        def tell(outcome: CheckOutcome) -> None:
            nonlocal ended
            ended += 1
            status.update(f"{ended} of {num_checks} checks, {outcome.check.name} {outcome.result.value}")

        outcomes = await run(on_outcome=tell)
    verdict = judge(outcomes, asked, time.monotonic() - start, facts)
    print_verdict(verdict, console)
    return verdict


class _UnusableFile(Exception):
    pass


def _write_files(verdict: Verdict, options: argparse.Namespace) -> None:
    from .report_files import as_data, as_junit

    try:
        if options.json is not None:
            options.json.write_text(json.dumps(as_data(verdict), indent=2) + "\n", encoding="utf-8")
        if options.junit is not None:
            options.junit.write_text(as_junit(verdict), encoding="utf-8")
    except OSError as error:
        raise _UnusableFile(str(error)) from error


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value
