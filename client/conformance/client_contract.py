"""What a client has to do to be checked. ``caesura conform --help`` shows it; ``client_adapter`` does it."""

from __future__ import annotations

ECHO = "echo"
"""The tool that every client under test offers."""

NONCE = "nonce"
SLEEP = "sleep"

URL = "CAESURA_URL"
MODEL = "CAESURA_MODEL"
MAX_RECONNECTS = "CAESURA_MAX_RECONNECTS"

CONTRACT = """\
The client of --client CMD is a program. It is started once for each check, without a shell, against a scripted server
on this machine, and has to do this:

  - connect to the URL that replaces {url} in CMD; it is in $CAESURA_URL too, and the name of a model in $CAESURA_MODEL;
  - send one response.create, with any input, and with a function tool "echo" {"text": string} that returns its text;
  - run that Response to its end, and exit with status 0 if it completed, with another one if something went wrong;
  - print, as a line to stdout at the end, {"status": STATUS, "text": TEXT}: the status of the Response and the text of
    its last message.

It should do this too, or else some requirements can't be checked:

  - print the line {"event": TYPE, "sequence_number": N} for each event of the Response that it gives to its user, at
    that moment, and flush stdout;
  - offer a tool "sleep" {"seconds": number}, and a tool "nonce" {} that returns another text each time;
  - make no more attempts in a row to connect again than $CAESURA_MAX_RECONNECTS says, if that is set.
"""
