"""Boosters that a newer XGBoost saved than the one here: whether it reads all that they have.

XGBoost passes over keys that it does not know, without an error. Such are the weights of dart's
trees as XGBoost 3.4 saves them, which 3.2 adds up without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import LoadError

_VERSION = re.compile(
    rb'"version":\s*\[\s*(\d+),\s*(\d+),\s*(\d+)\s*\]|version\[#L\0{7}\x03((?:[iU].){3})', re.DOTALL
)
_TAIL_BYTES = 256
"""The version is the last key of both formats."""
_JSON_KEY = re.compile(rb'"([a-z_]+)"\s*:')
_UBJSON_KEY = re.compile(rb"(?<![S#])L\0{7}(.)", re.DOTALL)
"""The length of a key; that of a text has S in front, the number of an array's values has #."""
_NAME = re.compile(rb"[a-z_]+")
_PICKLED_MODEL = b"L\0\0\0\0\0\0\0\x05Model"
"""Begins what a pickled booster has of the model; its parameters are elsewhere."""


def check_read_whole(file: Path, content: bytes | bytearray, booster: Any) -> None:
    """Makes sure that nothing of a booster was passed over, if a newer XGBoost saved it.

    Args:
      file: for the message.
      content: the booster as JSON or UBJSON, or as it is pickled.
      booster: what XGBoost read of it.

    Raises:
      LoadError: it has keys that the booster does not have.
    """
    import xgboost

    saved_by = _version_of(content)
    here = tuple(int(part) for part in re.findall(r"\d+", xgboost.__version__)[:3])
    if saved_by is None or saved_by <= here:
        return
    unread = _keys(content) - _keys(booster.save_raw("ubj"))
    if unread:
        raise LoadError(
            f"{file} was saved by XGBoost {'.'.join(map(str, saved_by))} with "
            f"{', '.join(sorted(unread))}, which XGBoost {xgboost.__version__} here would pass "
            "over and predict something else; install a version at least as new, or train and save "
            f"the model with {xgboost.__version__} or older"
        )


@contextmanager
def unpickled_whole(file: Path) -> Iterator[None]:
    """Checks all boosters that are unpickled meanwhile, those inside of estimators too.

    What was passed over is gone once a booster is read, so this looks at what it is read from. It
    changes XGBoost's class for the whole process: callers take turns.

    Args:
      file: for the message.

    Raises:
      LoadError: see `check_read_whole`.
    """
    from xgboost import Booster

    read = Booster.__setstate__

    def read_whole(booster: Any, state: dict[str, Any]) -> None:
        content = state["handle"]
        read(booster, state)
        if content is not None:
            check_read_whole(file, content, booster)

    Booster.__setstate__ = read_whole
    try:
        yield
    finally:
        Booster.__setstate__ = read


def _version_of(content: bytes | bytearray) -> tuple[int, ...] | None:
    """The version of XGBoost that saved a booster; None where it does not say."""
    found = _VERSION.search(content[-_TAIL_BYTES:])
    if found is None:
        return None
    packed: bytes | None = found[4]
    return tuple(packed[1::2] if packed else (int(part) for part in found.groups()[:3]))


def _keys(content: bytes | bytearray) -> set[str]:
    """The keys of all objects of a model."""
    if content[1:2] != b"L":
        return {key.decode() for key in _JSON_KEY.findall(content)}
    lengths = _UBJSON_KEY.finditer(content, max(content.find(_PICKLED_MODEL), 0))
    texts = (content[length.end() : length.end() + length[1][0]] for length in lengths)
    return {text.decode() for text in texts if _NAME.fullmatch(text)}
