"""Categories hashed into buckets, by the functions of those who trained the models.

pyfarmhash and mmh3 have the C code of FarmHash and MurmurHash3; they are imported where used.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.batch.columns import Array, Column
from pipeline.ops.values import Bad, each_value
from pipeline.spec.prepare import Hash


def check_installed(step: Hash) -> None:
    """Makes sure that the package with the function can be imported.

    Raises:
      ValueError: it cannot; says what to install.
    """
    try:
        _function(step)
    except ImportError as error:
        package = "pyfarmhash" if step.function == "farm" else "mmh3"
        raise ValueError(
            f"needs the package '{package}', which cannot be imported ({error}): "
            f"pip install {package}"
        ) from error


def bucket(step: Hash, column: Column) -> Column:
    """The bucket of each value: text, bytes or integers -> int64; shape stays.

    Bad is text that has no UTF-8, which is half a character.
    """
    function = _function(step)

    def compute(values: Array) -> tuple[Array, Bad]:
        texts = values.tolist()
        if values.dtype.kind != "O":
            texts = [str(value) for value in texts]
        bad: dict[int, str] = {}
        found = np.empty(len(texts), dtype=np.int64)
        for i, text in enumerate(texts):
            try:
                data = text if isinstance(text, bytes) else (step.prefix + text).encode()
                found[i] = function(data) % step.buckets
            except UnicodeEncodeError:
                bad[i] = f"found {text!r}, expected text that UTF-8 can hold"
        return found, bad

    return each_value(column, compute)


def _function(step: Hash) -> Callable[[bytes], int]:
    if step.function == "farm":
        from farmhash import fingerprint64

        hashed: Callable[[bytes], int] = fingerprint64
        return hashed
    import mmh3

    seed = step.seed
    if step.function == "murmur3_unsigned":
        return lambda data: mmh3.hash(data, seed, signed=False)
    return lambda data: abs(mmh3.hash(data, seed))
