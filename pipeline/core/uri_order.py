"""Which of two URIs of a model is the older one."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from pipeline.core.release import ModelVersion

_ROOT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*/?|/?")


class Numbered(NamedTuple):
    """A URI with a version number in it.

    Attributes:
      folder: what stands before the number, without ``/`` at its end.
      number: its parts; trailing zeros are dropped, so that "1.0" is "1".
    """

    folder: str
    number: tuple[int, ...]


@lru_cache(maxsize=4096)
def numbered(uri: str) -> Numbered | None:
    """The version number of a URI, where ``ModelVersion.label`` is one.

    ``gs://b/clf/v10`` and ``gs://b/clf/10/model.onnx`` are number 10 in ``gs://b/clf``;
    ``gs://b/clf-10.onnx`` has none. The name of a bucket is never a number.
    """
    match = _ROOT.match(uri)
    root = match[0] if match else ""
    parts = [part for part in uri[len(root) :].split("/") if part]
    label = ModelVersion("", uri, "").label
    digits = (label[1:] if label[:1] in ("v", "V") else label).split(".")
    if label not in parts[-2:] or not all(part.isdecimal() for part in digits):
        return None
    number = [int(part) for part in digits]
    while len(number) > 1 and number[-1] == 0:
        number.pop()
    above = parts[: len(parts) - 1 - parts[::-1].index(label)]
    return Numbered((root + "/".join(above)).rstrip("/"), tuple(number))


def is_older(uri: str, sequence_us: int, than_uri: str, than_sequence_us: int) -> bool:
    """Whether what was proposed as `uri` comes before what was proposed as `than_uri`.

    Two numbers in the same folder decide, compared as numbers ("9" before "10"); where there are
    none, or they are equal, the time of the proposals does.

    Args:
      uri: of a model.
      sequence_us: when it was proposed; see Candidate.
      than_uri: of the same model.
      than_sequence_us: when that was proposed.
    """
    mine, other = numbered(uri), numbered(than_uri)
    if mine and other and mine.folder == other.folder and mine.number != other.number:
        return mine.number < other.number
    return sequence_us < than_sequence_us
