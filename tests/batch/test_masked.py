"""Columns in which rows may lack a value: the mask goes with its rows everywhere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.batch import wire
from pipeline.batch.batch import Batch
from pipeline.batch.columns import (
    Masked,
    Ragged,
    concatenate,
    iterate,
    presence_of,
    spread,
    take,
    values_of,
)

TEXTS = np.array(["a", "é", ""], dtype=object)
KINDS = {
    "float32": lambda rows: np.arange(rows * 2, dtype=np.float32).reshape(rows, 2) + 1,
    "int8": lambda rows: np.arange(rows, dtype=np.int8) + 1,
    "bool": lambda rows: np.ones(rows, dtype=bool),
    "text": lambda rows: np.resize(TEXTS, rows),
    "bytes": lambda rows: np.array([b"\xff"] * rows, dtype=object),
    "ragged": lambda rows: Ragged([np.arange(1 + i % 3) + 1 for i in range(rows)]),
}


@st.composite
def columns(draw):
    """A masked column, and its values as a list: None where a row has none."""
    rows = draw(st.integers(1, 6))
    present = draw(hnp.arrays(bool, rows))
    present[draw(st.integers(0, rows - 1))] = True
    make = KINDS[draw(st.sampled_from(list(KINDS)))]
    column = spread(make(int(present.sum())), present)
    values = (row.tolist() for row in iterate(make(int(present.sum()))))
    return column, [next(values) if has else None for has in present]


def listed(column):
    pairs = zip(presence_of(column), iterate(values_of(column)), strict=True)
    return [row.tolist() if has else None for has, row in pairs]


@given(columns())
def test_placeholders_are_empty_and_never_the_value_of_another_row(made):
    column, values = made
    assert listed(column) == values
    for has, row in zip(column.present, iterate(column.values), strict=True):
        assert has or not any(row.reshape(-1).tolist())


@given(columns(), st.data())
def test_rows_are_taken_with_their_mask(made, data):
    column, values = made
    rows = data.draw(st.lists(st.integers(0, len(values) - 1)))
    assert listed(take(column, np.array(rows, dtype=np.intp))) == [values[i] for i in rows]


@given(columns(), st.data())
def test_parts_are_joined_with_their_masks(made, data):
    column, values = made
    cut = data.draw(st.integers(0, len(values)))
    order = np.arange(len(values))
    parts = [take(column, order[:cut]), take(column, order[cut:])]
    assert listed(concatenate(parts)) == values


def test_a_complete_part_joins_a_masked_one():
    gone = Masked(np.zeros(1), np.array([False]))
    assert listed(concatenate([np.array([1.5]), gone])) == [1.5, None]


@given(columns())
def test_a_batch_comes_back_from_its_bytes_with_its_masks(made):
    column, values = made
    ids = tuple(range(len(values)))
    batch = Batch(ids, (b"",) * len(ids), {"x": column, "y": np.array(ids)})
    back = wire.loads(wire.dumps(batch), Batch)
    assert listed(back.columns["x"]) == values
    assert listed(back.columns["y"]) == list(ids)


@pytest.mark.parametrize("bad", [0, 2])
def test_a_row_that_is_rejected_takes_its_mask_with_it(bad):
    column = Masked(np.array([1, 0, 3]), np.array([True, False, True]))
    batch = Batch((0, 1, 2), (b"",) * 3, {"x": column})
    left = batch.reject({bad: ("bad", "bad")}, stage="inference")
    assert listed(left.columns["x"]) == [v for i, v in enumerate([1, None, 3]) if i != bad]
