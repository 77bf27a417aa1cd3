"""The digits that the models learn from and the ones that they never see.

scikit-learn ships 1,797 handwritten digits of 8 x 8 pixels (a part of the UCI set "Optical
Recognition of Handwritten Digits"), so nothing is downloaded:
https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_digits.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"

SEED = 0
HELD_OUT = 500


@dataclass(frozen=True)
class Images:
    """Some of the images.

    Attributes:
      rows: their positions in scikit-learn's data set, int64[n], ascending.
      pixels: 0 is paper, 1 is ink; float32[n, 64]. Multiples of 1/16, so four decimals are exact.
      digits: what was written, int64[n].
    """

    rows: Array
    pixels: Array
    digits: Array


def split() -> tuple[Images, Images]:
    """The images to train on, and the 500 held out; the same in every run."""
    import numpy as np
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    pixels = (pixels / 16).astype(np.float32)
    order = np.random.default_rng(SEED).permutation(len(digits))
    train, held_out = np.sort(order[HELD_OUT:]), np.sort(order[:HELD_OUT])
    return (
        Images(train, pixels[train], digits[train]),
        Images(held_out, pixels[held_out], digits[held_out]),
    )
