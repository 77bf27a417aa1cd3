"""The extension of a file's name, behind what compression and shards add to it."""

from __future__ import annotations

import re

# As TensorFlow and Beam name the parts of a file: train.tfrecord-00000-of-00010.
_SHARD = re.compile(r"-\d+-of-\d+$")
_COMPRESSION = re.compile(r"\.(gz|bz2|zst|zstd|xz|lzma|deflate)$", re.IGNORECASE)


def extension_of(path: str) -> str:
    """The extension, with its dot, in lower case; empty if there is none.

    It stands before that of a compression (``a.csv.gz``) and a shard number
    (``a.tfrecord-00000-of-00010``).
    """
    name = _SHARD.sub("", _COMPRESSION.sub("", path.rpartition("/")[2])).lower()
    return name[name.rfind(".") :] if "." in name else ""
