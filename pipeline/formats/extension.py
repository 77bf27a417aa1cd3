"""The extension of a file's name, behind what compression and shards add to it."""

from __future__ import annotations

import re

# As TensorFlow and Beam name the parts of a file: train.tfrecord-00000-of-00010.
_SHARD = re.compile(r"-\d+-of-\d+$")
_COMPRESSION = re.compile(r"\.(gz|gzip|bz2|bzip2|zst|zstd|xz|lzma|deflate)$", re.IGNORECASE)


def plain_name(path: str) -> str:
    """The name of a file in lower case, without what compression and shards add to it.

    That is the extension of a compression (``a.csv.gz``) and a shard number
    (``a.tfrecord-00000-of-00010``).
    """
    return _SHARD.sub("", _COMPRESSION.sub("", path.rpartition("/")[2])).lower()


def extension_of(path: str) -> str:
    """The extension of its plain name, with the dot; empty if there is none."""
    name = plain_name(path)
    return name[name.rfind(".") :] if "." in name else ""
