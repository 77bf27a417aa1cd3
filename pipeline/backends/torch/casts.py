"""Casts to floats that NumPy does not have, as bfloat16; `batch.casts` is for those it has."""

from __future__ import annotations

from typing import Any

from pipeline.errors import RowsError


def cast(name: str, values: Any, dtype: Any) -> Any:
    """A tensor as one of floats, by the rule of `batch.casts`: floats may be rounded.

    Args:
      name: of the input, for the message.
      values: a tensor of any shape; the first axis is that of the rows, if it has one.
      dtype: a torch dtype of floats.

    Raises:
      RowsError: rows with an integer that changes, or a finite number that becomes none.
    """
    made = values.to(dtype)
    check(name, values, made)
    return made


def check(name: str, values: Any, made: Any) -> None:
    """Makes sure that a cast to floats was right, see `cast`. Waits for the device.

    Args:
      name: of the input, for the message.
      values: before.
      made: after.

    Raises:
      RowsError: see `cast`.
    """
    bad = _overflowing(values, made) if values.is_floating_point() else _changed(values, made)
    if not bad.any():
        return
    messages: dict[int, str] = {}
    for place in bad.nonzero().tolist():
        found = values[tuple(place)].item()
        why = f"found {found} in input '{name}', which {str(made.dtype).removeprefix('torch.')} "
        messages.setdefault(place[0] if place else 0, why + "cannot hold")
    raise RowsError(messages)


def _overflowing(values: Any, made: Any) -> Any:
    return values.isfinite() & ~made.isfinite()


def _changed(values: Any, made: Any) -> Any:
    """Which integers or booleans are others after a cast, as a mask."""
    import torch

    if values.dtype == torch.bool:
        return torch.zeros_like(values)
    bounds = torch.iinfo(values.dtype)
    wide = made.to(torch.float64)
    # The power of two after the highest integer is exact as a float; the highest may not be.
    inside = (wide >= float(bounds.min)) & (wide < float(bounds.max + 1))
    return ~inside | (torch.where(inside, wide, 0.0).to(values.dtype) != values)
