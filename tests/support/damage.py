"""Files as a disk or a line damages them: bits or bytes are other ones, missing or too many."""

from __future__ import annotations

import random


def mutated(chance: random.Random, data: bytes, start: int = 0, end: int = 0) -> bytes:
    """The data with up to four damages.

    Args:
      chance: makes them.
      data: the file.
      start: seven of ten damages lie from there on.
      end: so many bytes at the end stay as they are.
    """
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 4])):
        first = start if start and chance.random() < 0.7 else 0
        at = chance.randrange(first, len(changed) - end)
        how = chance.random()
        if how < 0.6:
            changed[at] ^= 1 << chance.randrange(8)
        elif how < 0.8:
            changed[at] = chance.randrange(256)
        else:
            changed[at : at + (how < 0.9)] = b"" if how < 0.9 else b"\x15"
    return bytes(changed)
