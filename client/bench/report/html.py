"""Pieces of a page. All text is escaped; only a :class:`Markup` is put in as it is."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from .formats import printable


class Markup(str):
    """HTML that was made here."""

    __slots__ = ()


Content = str | Markup


def text(content: Content) -> Markup:
    """Escaped, without control characters."""
    if isinstance(content, Markup):
        return content
    return Markup(html.escape("\n".join(printable(line) for line in content.split("\n"))))


def element(tag: str, *content: Content, **attributes: str) -> Markup:
    """``class_`` stands for ``class``."""
    given = "".join(f' {name.rstrip("_")}="{html.escape(value)}"' for name, value in attributes.items())
    return Markup(f"<{tag}{given}>{''.join(text(each) for each in content)}</{tag}>")


def join(parts: Iterable[Content], between: Content = "") -> Markup:
    return Markup(text(between).join(text(part) for part in parts))


def table(heads: Sequence[Content], rows: Iterable[Sequence[Content]], caption: Content = "") -> Markup:
    """The first cell of a row is its head. The table scrolls by itself where the page is narrow."""
    head = element("tr", *(element("th", each, scope="col") for each in heads))
    body = (
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    )
    parts = [element("caption", caption)] if caption else []
    whole = element("table", *parts, element("thead", head), element("tbody", *body))
    return element("div", whole, class_="wide")


def figure(svg: str | None, caption: Content, described: str) -> Markup:
    """Nothing without a picture."""
    if svg is None:
        return Markup("")
    labelled = svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(described)}"', 1)
    return element("figure", Markup(labelled), element("figcaption", caption))


def bullets(lines: Iterable[Content], **attributes: str) -> Markup:
    """A list; nothing without lines."""
    items = [element("li", line) for line in lines]
    return element("ul", *items, **attributes) if items else Markup("")


def terms(pairs: Iterable[tuple[Content, Content]]) -> Markup:
    parts = (part for term, meaning in pairs for part in (element("dt", term), element("dd", meaning)))
    return element("dl", *parts)


def embedded_json(data: bytes | str, identity: str) -> Markup:
    """Data that a program, or the page's own script, can read back. ``data`` is JSON: a ``<`` is in strings only, and
    escaped there, so that no text in it can end the element."""
    content = data.decode() if isinstance(data, bytes) else data
    return element("script", Markup(content.replace("<", "\\u003c")), type="application/json", id=identity)


def lines_of(fields: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values, nested ones as JSON."""
    return [
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
        for name, value in fields.items()
    ]
