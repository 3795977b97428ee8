"""HTML that is put together so that nothing gets in unescaped. Layer names are whatever somebody wrote into a file."""

import html
import unicodedata
from collections.abc import Iterable

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of what stands beside them."""

_KEPT = frozenset("\n\t")
_VOID = frozenset({"meta", "br"})


Attribute = str | float | bool | None


class Html(str):
    """Text that is HTML already; all other text is escaped where it becomes part of one."""

    __slots__ = ()


def text(value: str) -> Html:
    """Escape: markup, characters that are no text, and those that would turn the line around."""
    if not value.isprintable():  # the usual text needs no second look
        value = "".join("\N{REPLACEMENT CHARACTER}" if _is_unfit(character) else character for character in value)
    return Html(html.escape(value))


def join(children: Iterable[str | None], between: str = "") -> Html:
    """Children side by side; those that are no HTML yet are escaped, None is nothing."""
    parts = (child if isinstance(child, Html) else text(child) for child in children if child is not None)
    return Html(between.join(parts))


def element(tag: str, *children: str | None, **attributes: Attribute) -> Html:
    """An element of HTML or SVG.

    Args:
        tag: its name.
        children: what is in it; a string that is no `Html` is text.
        attributes: `class_` is `class`, `data_at` is `data-at`; True is an attribute without a value, None and False
            are none.
    """
    written = "".join(
        _attribute(name, value) for name, value in attributes.items() if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def _attribute(name: str, value: Attribute) -> str:
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{text(str(value))}"'


def _is_unfit(character: str) -> bool:
    if character in _KEPT:
        return False
    return character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Cn", "Co")
