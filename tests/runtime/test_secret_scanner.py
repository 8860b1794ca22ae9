"""Secrets in what tools gave: found, not confused with ordinary text, and gone when they are redacted.

Secrets are put together here, so that this file holds none.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path
from re import _parser as regular_expressions  # type: ignore[attr-defined]
from typing import Any

import pytest
from caesura.protocol.items import FunctionCall, FunctionCallOutput, HostedCall, InputItem, InputMessage
from caesura.runtime.guards import Guards, SecretScanner
from caesura.runtime.guards.secret_patterns import KINDS
from caesura.runtime.guards.secret_scanner import THREAD_FROM, find_secrets, lower_in_place, redacted
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]


def letters(count: int, alphabet: str = "a1Bc2De3Fg4Hi5Jk6Lm7No8Pq9Rs0Tu") -> str:
    return "".join(itertools.islice(itertools.cycle(alphabet), count))


UPPER = letters(16, "A2BC3DE4FG5H")
JWT = ".".join([f"eyJ{letters(20)}", f"eyJ{letters(30)}", letters(43)])
PEM = "\n".join(letters(64) for _ in range(3))
SECRETS = [
    ("private key", f"-----BEGIN RSA PRIVATE KEY-----\n{PEM}\n-----END RSA PRIVATE KEY-----"),
    ("private key", f"-----BEGIN PRIVATE KEY-----\\n{letters(80)}\\n-----END PRIVATE KEY-----"),
    (
        "private key",
        f"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nX-Y: A,0\n\n{PEM}\n-----END EC PRIVATE KEY-----",
    ),
    ("AWS access key id", f"AKIA{UPPER}"),
    ("AWS access key id", f"ASIA{UPPER}"),
    ("GitHub token", f"ghp_{letters(36)}"),
    ("GitHub token", f"ghs_{letters(40)}"),
    ("GitHub token", f"github_pat_{letters(22)}_{letters(59)}"),
    ("GitLab token", f"glpat-{letters(20)}"),
    ("API key", f"sk-{letters(48)}"),
    ("API key", f"sk-proj-{letters(30)}_{letters(30)}"),
    ("API key", f"sk-ant-api03-{letters(40)}"),
    ("Stripe key", f"sk_live_{letters(24)}"),
    ("Stripe key", f"rk_live_{letters(24)}"),
    ("Slack token", f"xoxb-{letters(12, '1234567890')}-{letters(24)}"),
    ("Slack token", f"xapp-1-{letters(11)}-{letters(30)}"),
    ("Google API key", f"AIza{letters(35)}"),
    ("Google OAuth secret", f"GOCSPX-{letters(28)}"),
    ("Hugging Face token", f"hf_{letters(34)}"),
    ("npm token", f"npm_{letters(36)}"),
    ("PyPI token", f"pypi-AgEIcHlwaS{letters(60)}"),
    ("JWT", JWT),
]
"""Kinds, and texts that are a secret as a whole."""

HOOK = f"T{UPPER[:8]}/B{UPPER[:8]}/{letters(24)}"
PASSWORD = "Tr0ub4dor&3"
INSIDE = [
    ("password in a URL", f"postgres://app:{PASSWORD}@db.internal:5432/app", PASSWORD),
    ("password in a URL", f"redis://:{letters(20)}@10.0.0.1:6379/0", letters(20)),
    ("Slack webhook", f"https://hooks.slack.com/services/{HOOK}", HOOK),
    ("authorization header", f"> Authorization: Bearer {letters(40)}", letters(40)),
    ("authorization header", f'"authorization": "Basic {letters(24)}="', f"{letters(24)}="),
    ("password", f"DB_PASSWORD={PASSWORD}", PASSWORD),
    ("password", f"export API_KEY={letters(24)}", letters(24)),
    ("password", f"  password: '{PASSWORD}'", PASSWORD),
    ("password", f'{{"user": "bob", "password": "{PASSWORD}"}}', PASSWORD),
    ("password", f'{{\\"client_secret\\": \\"{letters(32)}\\"}}', letters(32)),
    ("password", f"aws_secret_access_key = {letters(20)}/{letters(19)}", f"{letters(20)}/{letters(19)}"),
    ("password", f'"accessToken":"{letters(30)}"', letters(30)),
    ("password", f"secret_key => {letters(32, 'a1b2c3d4e5f67890')}", letters(32, "a1b2c3d4e5f67890")),
    ("password", f"/login?user=bob&password={letters(24)}&next=/home", letters(24)),
    ("password", f"PASSPHRASE = {PASSWORD}", PASSWORD),
]
"""Kinds, texts, and the part of each that is secret."""


@pytest.mark.parametrize(("kind", "secret"), SECRETS)
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("key: ", "\n"), ('x = "', '"'), ("é İ (", ")"), ("a\n\n", " b")]
)
def test_known_formats_are_found(kind: str, secret: str, before: str, after: str) -> None:
    text = before + secret + after
    assert redacted(text) == f"{before}[redacted: {kind}]{after}"


@pytest.mark.parametrize(("kind", "text", "secret"), INSIDE)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("İ first line\n", "\nlast line")])
def test_only_the_secret_part_goes(kind: str, text: str, secret: str, before: str, after: str) -> None:
    assert redacted(before + text + after) == before + text.replace(secret, f"[redacted: {kind}]") + after


def test_a_key_that_is_cut_off_is_found() -> None:
    text = f"$ head key\n-----BEGIN OPENSSH PRIVATE KEY-----\n{PEM}"
    assert redacted(text) == "$ head key\n[redacted: private key]"


ORDINARY = [
    "def login(password: str, *, api_key: str | None = None) -> Token:",
    "password = getpass.getpass('Password: ')",
    'api_key = os.environ["OPENAI_API_KEY"]',
    "client = Client(api_key=settings.openai_api_key_v2, password=form.password1)",
    "secret: db-credentials-v2",
    "secretName: tls-cert-2024",
    "private_key = /etc/ssl/private/server1.pem",
    "password=$DB_PASSWORD_1 token=${GITHUB_TOKEN2}",
    "DATABASE_URL=postgres://user:password@localhost:5432/db",
    "postgres://postgres:postgres@localhost/test",
    "https://user:<password>@host/  https://user:********@host/",
    "git clone ssh://git@github.com:22/org/repo.git",
    "see http://localhost:8080/@scope/pkg and https://[::1]:8080/",
    "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
    "if password == 'hunter2': raise ValueError",
    "max_tokens=4096, next_page_token=CAUQAA, token_count: 12345678",
    "class sk-circle-fade-spinner sk-folding-cube-container-large",
    "task-1234567890abcdefghijklmnop risk-1234567890abcdefghijklmnop",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "id=123e4567-e89b-12d3-a456-426614174000",
    "eyJhbGciOiJIUzI1NiJ9 is how a JSON object begins in base64",
    "-----BEGIN CERTIFICATE-----\n" + "A" * 64,
    'assert key.startswith("-----BEGIN PRIVATE KEY-----")',
    "-----BEGIN PUBLIC KEY-----\n" + letters(64),
    "The password must have 8 characters. Your secret: keep it.",
    '"password": "your-password-1"  "secret": "xxxxxxxxxxxx1"',
    "Authorization: Bearer <token>  authorization: Bearer $ACCESS_TOKEN_1",
    "hf_hub_download hf_transfer npm_config_registry ghp_ gho_test",
    "AIzaSy is their prefix; xoxb- too; sk- as well",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_holds_none(text: str) -> None:
    assert find_secrets(text) == []


def test_this_project_holds_none() -> None:
    """Some megabyte of ordinary code and prose."""
    folders = ("protocol", "sampler", "runtime", "client", "spec", "tests")
    files = [file for folder in folders for kind in ("*.py", "*.md", "*.json") for file in (ROOT / folder).rglob(kind)]
    found = {
        str(file.relative_to(ROOT)): sorted({one.kind for one in secrets})
        for file in files
        if file != Path(__file__) and (secrets := find_secrets(file.read_text(encoding="utf-8", errors="replace")))
    }
    assert len(files) > 100
    assert found == {}


FRAGMENTS = st.sampled_from([*(secret for _, secret in SECRETS), *(text for _, text, _ in INSIDE), *ORDINARY])
TEXTS = st.lists(FRAGMENTS | st.text(max_size=6), max_size=5)


@given(TEXTS, st.sampled_from(["\n", " ", "", "\r\n", ", "]))
def test_after_redacting_nothing_is_left(fragments: list[str], between: str) -> None:
    text = between.join(fragments)
    clean = redacted(text)
    assert redacted(clean) is clean
    found = find_secrets(text)
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))
    at = 0
    for place, part in enumerate(clean.split("[redacted: ")):
        kept = part.partition("]")[2] if place else part
        at = text.index(kept, at) + len(kept)
    if between == "\n":
        for fragment in fragments:
            assert not any(fragment == secret for _, secret in SECRETS) or fragment not in clean


def outputs(text: str) -> list[InputItem]:
    call = {"call_id": "c", "name": "f", "arguments": text}
    return [
        InputMessage(role="user", text=text),
        FunctionCall(**call),
        FunctionCallOutput(call_id="c", output=text, status="failed"),
        HostedCall(**call, output=text),
        HostedCall(**call),
    ]


@pytest.mark.parametrize(("kind", "secret"), SECRETS[4:8])
def test_outputs_alone_are_redacted(kind: str, secret: str) -> None:
    items = outputs(f"it is {secret}")
    clean = f"it is [redacted: {kind}]"
    assert SecretScanner("redact").rewrite(items) == [
        *items[:2],
        FunctionCallOutput(call_id="c", output=clean, status="failed"),
        HostedCall(call_id="c", name="f", arguments=f"it is {secret}", output=clean),
        items[4],
    ]
    assert SecretScanner("warn").rewrite(items) is items


@pytest.mark.parametrize("padding", [0, THREAD_FROM])
def test_a_warning_does_not_tell(padding: int) -> None:
    items = outputs(" ".join(secret for _, secret in SECRETS) + "\n" + "x " * padding)

    async def main() -> list[str]:
        checking = Guards([SecretScanner("warn")]).begin(items)
        assert checking is not None
        return await asyncio.wait_for(checking.passed(), 30)

    warnings = asyncio.run(main())
    assert {warning.rpartition(": ")[2] for warning in warnings} == {kind for kind, _ in SECRETS}
    assert not any(secret in warning for warning in warnings for _, secret in SECRETS)
    assert "secrets: 4 in tool outputs: AWS access key id" in warnings


def test_an_action_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="warn or redact"):
        SecretScanner("erase")


def test_lower_case_keeps_every_place() -> None:
    text = "".join(map(chr, range(sys.maxunicode + 1)))
    lower = lower_in_place(text)
    assert len(lower) == len(text)
    assert lower[: len("i" * 0x130)] == text[:0x130].lower()


def repeats(parsed: Any) -> list[tuple[str, int]]:
    """How often each part of an expression may repeat, by the name of the repetition."""
    found = []
    for operation, argument in parsed:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            found.append((name, int(argument[1])))
        for part in argument if isinstance(argument, tuple | list) else [argument]:
            inner = part if isinstance(part, list) else [part]
            found += [each for one in inner if hasattr(one, "getwidth") for each in repeats(one)]
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.name} {kind.literals[0]}")
def test_no_expression_can_run_away(kind: Any) -> None:
    """What may be given back when the rest doesn't fit is short; what is long is never given back."""
    found = repeats(regular_expressions.parse(kind.expression.pattern))
    for name, most in found:
        assert name == "POSSESSIVE_REPEAT" or most <= 64, (kind.expression.pattern, name, most)
    assert len(kind.literals) > 0
    assert all(literal == literal.lower() for literal in kind.literals) or not kind.ignores_case


HOSTILE = [
    *(
        "sk-",
        "eyJ",
        "eyJaaaaaaaa.",
        "eyJaaaaaaaa.eyJaaaaaaaaa ",
        "secret=",
        'secret="',
        "secret:        ",
        "://",
        "://a:b",
    ),
    *("-----BEGIN ", "-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----" + " a: b" * 40, "access_token"),
    *(
        "authorization: bearer ",
        "İsecret=",
        "hooks.slack.com/services/TAAAAAAAAAA",
        "xoxb-",
        "AKIA",
        "ghp_",
        "AIza",
        "A",
    ),
]


@pytest.mark.parametrize("piece", HOSTILE, ids=lambda piece: piece[:20])
def test_hostile_text_is_read_to_its_end(piece: str) -> None:
    """Were the time quadratic, this would take minutes."""
    text = piece * (400_000 // len(piece))
    tail = f"\n {SECRETS[4][1]}\n"
    assert redacted(text + tail).endswith("\n [redacted: AWS access key id]\n")
