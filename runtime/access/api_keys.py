"""Bearer keys, held as digests only."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from starlette.requests import HTTPConnection

from .errors import AccessSettingsError, InvalidApiKey

log = logging.getLogger("caesura")

MIN_KEY_CHARACTERS = 16


def credential_of(connection: HTTPConnection) -> str:
    """Who the client is, as far as it said: the owner of what it creates. Empty for a client that said nothing."""
    return credential(connection.headers.get("authorization", ""))


def credential(authorization: str) -> str:
    """A digest of the header's value, so that no key lies about in memory, in a log or in the store.

    The same for every spelling of the scheme, and the same with and without keys: a server that gets a key file later
    still knows the Responses of clients that always sent their key.
    """
    if not authorization:
        return ""
    scheme, _, token = authorization.partition(" ")
    value = f"Bearer {token.strip()}" if scheme.lower() == "bearer" else authorization
    return hashlib.sha256(value.encode()).hexdigest()


class ApiKeys:
    """The keys of a server.

    :param keys: at least one, each of at least :data:`MIN_KEY_CHARACTERS` visible ASCII characters.
    :raises AccessSettingsError: there are none, or one can't be used. No message contains a key.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        digests: dict[str, None] = {}
        for number, key in enumerate(keys, 1):
            _check(key, f"API key {number}")
            digests[credential(f"Bearer {key}")] = None
        if not digests:
            raise AccessSettingsError("no API key was given. Give at least one.")
        self._digests = tuple(digests)

    @classmethod
    def load(cls, path: str | Path) -> ApiKeys:
        """Read a file of one key a line; blank lines and lines that begin with ``#`` are passed over. A file that other
        users can read gets a warning.

        :raises AccessSettingsError: it can't be read, has no key, or has one that can't be used.
        """
        try:
            with open(path, encoding="utf-8") as file:
                mode = os.fstat(file.fileno()).st_mode
                lines = file.read().splitlines()
        except OSError as error:
            raise AccessSettingsError(f"can't read the API keys in {path}: {error.strerror}.") from error
        except UnicodeDecodeError:
            raise AccessSettingsError(f"can't read the API keys in {path}: it is not a text file.") from None
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            log.warning("other users can read the API keys in %s; 'chmod 600' makes them secret", path)
        keys = {number: line.strip() for number, line in enumerate(lines, 1)}
        keys = {number: key for number, key in keys.items() if key and not key.startswith("#")}
        for number, key in keys.items():
            _check(key, f"{path}, line {number}: the API key")
        if not keys:
            raise AccessSettingsError(f"there is no API key in {path}. Write one a line.")
        return cls(keys.values())

    def __repr__(self) -> str:
        return f"ApiKeys({len(self._digests)})"

    def check(self, authorization: str) -> str:
        """The credential of a request, from the value of its ``Authorization`` header. Takes the same time for every
        key, right or wrong.

        :raises InvalidApiKey: the key is missing, or none of these.
        """
        if authorization.partition(" ")[0].lower() != "bearer":
            raise InvalidApiKey("This server needs an API key. Send it as 'Authorization: Bearer KEY'.")
        owner = credential(authorization)
        is_known = False
        for digest in self._digests:
            is_known |= hmac.compare_digest(digest, owner)
        if not is_known:
            raise InvalidApiKey("The API key is none of this server's. Check it, or ask the operator for one.")
        return owner


def _check(key: str, what: str) -> None:
    if not all("!" <= character <= "~" for character in key):
        raise AccessSettingsError(f"{what} has a space or a character that is not ASCII. Write one key a line.")
    if len(key) < MIN_KEY_CHARACTERS:
        raise AccessSettingsError(f"{what} has {len(key)} characters; at least {MIN_KEY_CHARACTERS} are needed.")
