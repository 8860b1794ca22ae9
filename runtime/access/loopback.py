"""What reaches this machine alone: addresses to listen on, and names in a ``Host`` header."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from .errors import AccessSettingsError


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """Whether an IP address is a loopback one, or a name is ``localhost``. No other name is looked up."""
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name.lower().rstrip(".") == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def host_name(host: str) -> str:
    """A ``Host`` header's value without its port, and an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def check_exposure(address: str, has_keys: bool, told: bool) -> None:
    """Whether the server may listen there.

    :param address: an IP address or a name; a name other than ``localhost`` counts as one that others reach.
    :param told: the operator said that no keys are wanted.
    :raises AccessSettingsError: others could reach it, there are no keys, and nobody said that this is meant.
    """
    if has_keys or told or is_loopback(address):
        return
    raise AccessSettingsError(
        f"won't listen on {address or 'all addresses'} without API keys: whoever reaches it could use the model. Give "
        "--api-key-file FILE, listen on 127.0.0.1, or say --no-auth if that is meant."
    )
