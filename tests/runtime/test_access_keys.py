"""API keys, where a server may listen, and the options that say so."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import pytest
from caesura.runtime.access.api_keys import MIN_KEY_CHARACTERS, ApiKeys, credential
from caesura.runtime.access.errors import AccessSettingsError, InvalidApiKey
from caesura.runtime.access.guard import Access
from caesura.runtime.access.loopback import check_exposure, host_name, is_loopback
from caesura.runtime.access.options import access_from, add_arguments
from hypothesis import given
from hypothesis import strategies as st

KEY = "sk-0123456789abcdef"
OTHER_KEY = "sk-fedcba9876543210"

visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=MIN_KEY_CHARACTERS)


def key_file(tmp_path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    file = tmp_path / "keys"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    file.chmod(mode)
    return file


def access(*arguments: str | Path) -> Access:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return access_from(parser.parse_args([str(argument) for argument in arguments]))


@given(keys=st.lists(visible, min_size=1, max_size=5), other=visible)
def test_exactly_its_keys_are_let_in(keys: list[str], other: str) -> None:
    known = ApiKeys(keys)
    owners = {known.check(f"Bearer {key}") for key in keys}
    assert len(owners) == len(set(keys))
    if other not in keys:
        with pytest.raises(InvalidApiKey):
            known.check(f"Bearer {other}")


@given(header=st.text())
def test_whatever_the_header_says_it_is_no_key(header: str) -> None:
    with pytest.raises(InvalidApiKey):
        ApiKeys([KEY]).check(header)


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER  {KEY} "])
def test_the_scheme_is_case_insensitive(header: str) -> None:
    assert ApiKeys([KEY]).check(header) == credential(f"Bearer {KEY}")


def test_an_owner_is_the_same_with_and_without_keys_and_tells_no_key() -> None:
    assert ApiKeys([OTHER_KEY, KEY]).check(f"Bearer {KEY}") == credential(f"bearer {KEY}")
    assert credential("") == ""
    assert credential("Basic abc") not in ("", credential("Bearer abc"), credential("basic abc"))
    assert KEY not in credential(f"Bearer {KEY}") + repr(ApiKeys([KEY])) + repr(vars(ApiKeys([KEY])))


def test_a_file_of_keys(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = ApiKeys.load(key_file(tmp_path, f"# ours\n\n  {KEY}  \r\n#{OTHER_KEY}\n{KEY}\n"))
    assert repr(keys) == "ApiKeys(1)"
    keys.check(f"Bearer {KEY}")
    with pytest.raises(InvalidApiKey):
        keys.check(f"Bearer {OTHER_KEY}")
    assert caplog.messages == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int) -> None:
    file = key_file(tmp_path, KEY, mode)
    with caplog.at_level(logging.WARNING, "caesura"):
        ApiKeys.load(file)
    (message,) = caplog.messages
    assert str(file) in message
    assert KEY not in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no API key"),
        ("\n# sk-only-a-comment\n", "no API key"),
        (f"{KEY}\n{'k' * (MIN_KEY_CHARACTERS - 1)}", "line 2: the API key has 15 characters; at least 16"),
        (f"# ours\nname: {KEY}", "line 2: the API key has a space"),
        ("sk-ключ-0123456789", "not ASCII"),
        (b"\xff\xfe\x00\x01", "not a text file"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str | bytes, says: str) -> None:
    file = key_file(tmp_path, text)
    with pytest.raises(AccessSettingsError, match=says) as refusal:
        ApiKeys.load(file)
    assert str(file) in str(refusal.value)
    assert KEY not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_shortest_key() -> None:
    ApiKeys(["k" * MIN_KEY_CHARACTERS])
    with pytest.raises(AccessSettingsError, match="at least 16"):
        ApiKeys(["k" * (MIN_KEY_CHARACTERS - 1)])
    with pytest.raises(AccessSettingsError, match="no API key"):
        ApiKeys([])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AccessSettingsError, match="No such file"):
        ApiKeys.load(tmp_path / "missing")


LOOPBACK = ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LocalHost", "localhost.", "::ffff:127.0.0.1", "::1%lo"]
REACHABLE = ["0.0.0.0", "::", "", "192.168.1.2", "8.8.8.8", "fe80::1%eth0", "::ffff:8.8.8.8", "example.com", "127.evil"]


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_needs_no_keys(address: str) -> None:
    check_exposure(address, has_keys=False, told=False)


@pytest.mark.parametrize("address", REACHABLE)
def test_what_others_reach_needs_keys_or_to_be_told(address: str) -> None:
    check_exposure(address, has_keys=True, told=False)
    check_exposure(address, has_keys=False, told=True)
    with pytest.raises(AccessSettingsError, match="--api-key-file") as refusal:
        check_exposure(address, has_keys=False, told=False)
    assert "\n" not in str(refusal.value)


@given(name=st.text())
def test_any_name_is_loopback_or_not(name: str) -> None:
    assert is_loopback(name) in (True, False)
    assert host_name(name) in name


@pytest.mark.parametrize(
    ("host", "name"),
    [("localhost:8080", "localhost"), ("localhost", "localhost"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("", "")],
)
def test_the_name_in_a_host_header(host: str, name: str) -> None:
    assert host_name(host) == name


def test_options(tmp_path: Path) -> None:
    assert access() == Access(loopback_names_only=True)
    assert access("--no-auth") == Access()
    with_keys = access("--api-key-file", key_file(tmp_path, KEY), "--max-requests-per-key", "3")
    assert with_keys.keys is not None
    assert not with_keys.loopback_names_only
    assert with_keys.bounds.max_requests_per_credential == 3
    origins = access("--allow-origin", "https://Example.com/", "--allow-origin", "null").allowed_origins
    assert origins == {"https://example.com", "null"}
    bounds = access("--max-connections", "5", "--max-requests", "7").bounds
    assert (bounds.max_connections, bounds.max_requests) == (5, 7)


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(AccessSettingsError, match="contradict"):
        access("--no-auth", "--api-key-file", key_file(tmp_path, KEY))


@pytest.mark.parametrize("origin", ["example.com", "https://", "https://a/b", "http://a b", ""])
def test_an_origin_that_is_none(origin: str) -> None:
    with pytest.raises(AccessSettingsError, match="no origin"):
        access(f"--allow-origin={origin}")


@pytest.mark.parametrize("option", ["--max-connections", "--max-requests", "--max-requests-per-key"])
def test_a_bound_below_one(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        access(option, "0")
    assert "at least 1" in capsys.readouterr().err
