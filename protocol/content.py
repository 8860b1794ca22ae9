"""The ``content`` of a message and the ``output`` of a call: a string, or parts, of which the text is read."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import InvalidValue, UnsupportedContent

TEXT_PARTS: Mapping[object, str] = {
    "input_text": "text",
    "output_text": "text",
    "text": "text",
    "summary_text": "text",
    "refusal": "refusal",
}
"""Types of parts that hold text, and the field that it is in."""

OTHER_PARTS: Mapping[object, str] = {
    "input_image": "an image",
    "image_url": "an image",
    "computer_screenshot": "an image",
    "input_file": "a file",
    "file": "a file",
    "input_audio": "sound",
    "input_video": "a video",
}
"""Types of parts that no model here reads, and what they are."""


def text_of(value: object, at: str) -> str:
    """The text of a content, its parts joined. None is no text: an assistant message that only calls tools.

    :param at: where it stands, for errors.
    :raises UnsupportedContent: a part is an image or the like.
    :raises InvalidValue: it is no content at all.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise InvalidValue(f"'{at}' must be a string or a list of text parts.", param=at)
    return "".join([_part(part, f"{at}[{index}]") for index, part in enumerate(value)])


def _part(part: object, at: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or not isinstance(kind, str):
        raise InvalidValue(f"'{at}' must be a text part, with a 'type'.", param=at)
    if kind in OTHER_PARTS:
        raise UnsupportedContent(
            f"'{at}' is {OTHER_PARTS[kind]} ({kind}), and this model reads text alone. Send the request without it.",
            param=at,
        )
    if kind not in TEXT_PARTS:
        known = ", ".join(map(str, TEXT_PARTS))
        raise InvalidValue(f"'{at}' is of type {kind[:80]!r}; parts that can be read are {known}.", param=at)
    text = part.get(TEXT_PARTS[kind])
    if not isinstance(text, str):
        raise InvalidValue(f"'{at}.{TEXT_PARTS[kind]}' must be a string.", param=f"{at}.{TEXT_PARTS[kind]}")
    return text
