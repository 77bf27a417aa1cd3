"""The formats of files, and which one an input file has by its name."""

from __future__ import annotations

import re
from typing import Literal, get_args

Format = Literal["jsonl", "csv", "parquet", "avro", "tfrecord"]
FORMATS: tuple[Format, ...] = get_args(Format)
OUTPUT_FORMATS = ("jsonl", "parquet")
"""The formats of prediction files."""

_EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".avro": "avro",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}
# As TensorFlow and Beam name the parts of a file: train.tfrecord-00000-of-00010.
_SHARD = re.compile(r"-\d+-of-\d+$")
_COMPRESSION = re.compile(r"\.(gz|bz2|zst|zstd|xz|lzma|deflate)$", re.IGNORECASE)


def format_of(path: str, chosen: str = "auto") -> Format:
    """The format of a file: the chosen one, or what its extension says.

    The extension stands before that of a compression (``a.csv.gz``) and a shard number
    (``a.tfrecord-00000-of-00010``). Whatever has another one is taken for JSON lines.

    Args:
      path: path or URI.
      chosen: a format, or "auto".
    """
    for each in FORMATS:
        if each == chosen:
            return each
    name = _SHARD.sub("", _COMPRESSION.sub("", path.rpartition("/")[2])).lower()
    return _EXTENSIONS.get(name[name.rfind(".") :] if "." in name else "", "jsonl")
