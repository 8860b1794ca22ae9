"""What well-known secrets look like.

Each kind is found by a literal that it holds and, there, by an expression. Looking for a literal goes at the speed of
memory; one expression of all kinds, tried at every character, is far slower. No character is read more than a bounded
number of times: quantifiers are possessive or small, and a long one never begins inside of what it has read before. So
the time is linear in the text, whatever the text is.

The formats are those that their makers document, and that secret scanners agree on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .secret_values import any_value, is_filled_in, is_password, is_random

_WORD = r"(?<![A-Za-z0-9])"
_TOKEN = r"(?<![A-Za-z0-9_-])"
_END = r"(?![A-Za-z0-9])"


@dataclass(frozen=True, slots=True)
class SecretKind:
    """One kind of secret.

    :ivar name: for messages, and in place of what is redacted.
    :ivar literals: each secret of this kind holds one of them, and the expression begins there. In lower case if the
        expression ignores case.
    :ivar expression: its group ``secret``, or all of it, is the secret.
    :ivar is_likely: whether this is a secret and no placeholder or name.
    """

    name: str
    literals: Sequence[str]
    expression: re.Pattern[str]
    is_likely: Callable[[str], bool] = any_value

    @property
    def ignores_case(self) -> bool:
        return bool(self.expression.flags & re.IGNORECASE)


def _token(name: str, prefix: str, rest: str, is_likely: Callable[[str], bool] = any_value) -> SecretKind:
    """A secret that begins with a prefix of its maker's."""
    return SecretKind(name, [prefix], re.compile(_TOKEN + re.escape(prefix) + rest), is_likely)


_ASSIGNED = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret(?:[_-]?(?:access[_-]?)?key)?|api[_-]?key|access_?key|"
    r"(?:(?<=access_)|(?<=access)|(?<=auth_)|(?<=auth)|(?<=refresh_)|(?<=refresh)|(?<=api_)|(?<=bot_))token)"
    r"\\{0,3}[\"']?\s{0,8}(?:=>|:=|[=:])\s{0,8}"
    r"(?P<quote>\\{0,3}[\"'])?"
    r"(?P<secret>(?(quote)[^\"'\s\\]{8,256}+(?=\\{0,3}[\"'])"
    r"|(?:[^\s\"'`,;&<>(){}\[\]\\=:]|&(?!\w{1,32}=)){8,256}+={0,2}(?![(\[{])))",
    re.IGNORECASE,
)

KINDS: Sequence[SecretKind] = (
    SecretKind(
        "private key",
        ["-----BEGIN "],
        re.compile(
            r"-----BEGIN (?:(?:RSA|EC|DSA|OPENSSH|ENCRYPTED|PGP) )?PRIVATE KEY(?: BLOCK)?-----"
            r"(?:\s{1,4}+[A-Za-z-]{1,32}+: [^\n]{0,128}+){0,4}+[A-Za-z0-9+/=\s\\]{64,}+"
            r"(?:-----END [A-Z ]{1,32}-----)?"
        ),
    ),
    SecretKind(
        "AWS access key id",
        ["AKIA", "ASIA"],
        re.compile(_WORD + r"A[KS]IA[A-Z0-9]{16}" + _END),
        lambda value: not value.endswith("EXAMPLE"),
    ),
    SecretKind(
        "GitHub token",
        ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        re.compile(_TOKEN + r"gh[opurs]_[A-Za-z0-9]{36,}+"),
    ),
    _token("GitHub token", "github_pat_", r"[A-Za-z0-9_]{22,}+"),
    _token("GitLab token", "glpat-", r"[A-Za-z0-9_-]{20,}+", is_random),
    _token("API key", "sk-", r"[A-Za-z0-9_-]{20,}+", is_random),
    _token("Stripe key", "sk_live_", r"[A-Za-z0-9]{20,}+", is_random),
    _token("Stripe key", "rk_live_", r"[A-Za-z0-9]{20,}+", is_random),
    SecretKind("Slack token", ["xox"], re.compile(_TOKEN + r"xox[abeprs]-[A-Za-z0-9-]{10,}+"), is_random),
    _token("Slack token", "xapp-", r"[A-Za-z0-9-]{10,}+", is_random),
    SecretKind(
        "Slack webhook",
        ["hooks.slack.com/services/"],
        re.compile(r"hooks\.slack\.com/services/(?P<secret>T\w{6,20}/B\w{6,20}/[A-Za-z0-9]{16,}+)"),
    ),
    _token("Google API key", "AIza", r"[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    _token("Google OAuth secret", "GOCSPX-", r"[A-Za-z0-9_-]{20,}+", is_random),
    _token("Hugging Face token", "hf_", r"[A-Za-z0-9]{30,}+", is_random),
    _token("npm token", "npm_", r"[A-Za-z0-9]{36}" + _END),
    _token("PyPI token", "pypi-AgEIcHlwaS", r"[A-Za-z0-9_-]{32,}+"),
    SecretKind(
        "JWT",
        ["eyJ"],
        re.compile(r"(?<![A-Za-z0-9_.-])eyJ[A-Za-z0-9_-]{8,}+\.eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{16,}+"),
    ),
    SecretKind(
        "password in a URL",
        ["://"],
        re.compile(
            r"://(?P<user>[^\s:/?#@\"'<>]{0,64}+):(?!(?P=user)@)(?P<secret>[^\s/?#@\"'<>]{3,128}+)@[A-Za-z0-9\[]"
        ),
        is_filled_in,
    ),
    SecretKind(
        "authorization header",
        ["authorization"],
        re.compile(
            r"authorization\\{0,3}[\"']?\s{0,3}[:=]\s{0,3}\\{0,3}[\"']?"
            r"(?:bearer|basic|token)\s{1,3}(?P<secret>[\w.~+/=-]{16,}+)",
            re.IGNORECASE,
        ),
        is_random,
    ),
    SecretKind("password", ["pass", "secret", "api", "access", "token"], _ASSIGNED, is_password),
)
