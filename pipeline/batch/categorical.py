"""Columns of categories: texts of which many rows have the same.

A :class:`Categorical` is an array of text like any other, which knows besides which texts it holds
and where each of them stands, as pandas' Categorical and Arrow's dictionaries do. What makes a
value of each value can then make one for each category.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_Array = np.ndarray[Any, Any]


class Categorical(np.ndarray[Any, Any]):
    """Text (or bytes) of rows, shape ``(rows,)``, which cannot be written to.

    Whatever is taken from it or computed of it is an array that knows of no categories.

    Attributes:
      coding: the categories, objects of shape ``(categories,)``, and for each row the position of
        its category. Some may occur in no row, and one text may stand twice. None in arrays that
        numpy made of this one.
    """

    coding: tuple[_Array, _Array] | None = None

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__() if self.coding is None else (categorical, self.coding)


def categorical(categories: _Array, codes: _Array) -> Categorical:
    """A column of categories.

    Args:
      categories: texts as objects, shape ``(categories,)``.
      codes: for each row the position of its text among them, integers of shape ``(rows,)``.
    """
    made = categories[codes].view(Categorical)
    made.flags.writeable = False
    made.coding = categories, codes
    return made
