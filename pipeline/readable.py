"""Text from outside, as people may read it: without secrets, and no line of its own.

Names of files and models, ids, attributes and the words of other programs stand in log lines and
error texts. A newline in one of them would forge a line, an escape sequence would change a
terminal, and a mark of direction would turn the text around it. A URL may carry a password or a
token. Every logger of the package (`logger`), every error (:mod:`pipeline.errors`) and whatever
else is printed goes through `readable`.
"""

from __future__ import annotations

import logging
import re

_WEB = re.compile(r"(?i)https?://")
_USER = re.compile(r'(?<=://)[^\s/?#"<>]*@')
# Signs at the end belong to the sentence around the address, inside it to the address.
_QUERY = re.compile(r"""((?i:https?)://[^\s?#"<>]*[?#])[^\s"<>]*?(?=[,;:'})\]]*(?:[\s"<>]|$))""")


def readable(text: str) -> str:
    """One line: what cannot be seen is escaped as in Python, secrets of URLs are left out.

    Twice does the same as once. A backslash stays as it is.
    """
    text = without_secrets(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def without_secrets(text: str) -> str:
    """The text with `?...` for what follows a web address's path, and without its user.

    Queries of signed URLs are keys, and so are users and passwords. What is in a path stays.
    """
    if "://" not in text:
        return text
    return _QUERY.sub(r"\1...", _USER.sub("", text))


def shown_uri(uri: str) -> str:
    """A URI as people may read it; unlike in a text, nothing in it ends it."""
    left_out = re.search(r"[?#]", uri) if _WEB.match(uri) else None
    return readable(path_of(uri) + (f"{left_out[0]}..." if left_out else ""))


def path_of(uri: str) -> str:
    """A URI without its user; of a web address, what comes before its query and fragment."""
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri
    authority, slash, path = re.split(r"([/?#]|$)", rest, maxsplit=1)
    place = f"{scheme}{mark}{authority.rpartition('@')[2]}{slash}{path}"
    return re.split(r"[?#]", place, maxsplit=1)[0] if _WEB.match(uri) else place


class _Readable(logging.Filter):
    """Makes a record readable before any handler sees it; lines of a traceback are indented."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = readable(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            trace = logging.Formatter().formatException(record.exc_info)
            record.exc_text = "\n".join(f"  {readable(line)}" for line in trace.split("\n"))
        return True


_READABLE = _Readable()


def logger(name: str) -> logging.Logger:
    """The logger of a module; its messages are readable in every process and for every handler."""
    found = logging.getLogger(name)
    found.addFilter(_READABLE)
    return found
