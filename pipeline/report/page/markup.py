"""HTML and SVG as elements. Text becomes markup only here, and is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from pipeline.readable import without_secrets

# Control characters, those that change the direction of text, and what UTF-8 cannot hold.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
EMPTY_ELEMENTS = frozenset({"meta", "br"})


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | Iterable["Child"] | None


def text(content: str) -> Markup:
    """Text as markup; invisible characters are shown as escapes, no secrets of URLs."""
    if isinstance(content, Markup):
        return content
    return Markup(
        escape(_UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", without_secrets(content)))
    )


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """One element.

    Args:
      name: the element's name.
      children: texts, which are escaped, elements, or iterables of them; None is left out.
      attributes: `class_` is class, `stroke_width` is stroke-width; None is left out.
    """
    opening = name + "".join(
        f' {_attribute_name(key)}="{text(_attribute(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    content = fragment(children)
    return Markup(f"<{opening}>" if name in EMPTY_ELEMENTS else f"<{opening}>{content}</{name}>")


def fragment(children: Iterable[Child]) -> Markup:
    """The children, one after the other."""
    return Markup("".join(_flat(children)))


def _flat(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if isinstance(child, str):
            yield text(child)
        elif child is not None:
            yield from _flat(child)


def _attribute_name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".")
