"""Texts that are points in time, as numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from pipeline.batch.columns import Array, Column
from pipeline.ops.values import Bad, each_value
from pipeline.spec.prepare import ParseTime

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SHOWN_CHARS = 60


def parse(step: ParseTime, column: Column) -> Column:
    """A part of each point in time: text -> int64, `epoch_secs` float64; shape stays.

    Bad is text of another form, and a time that UTC has in no year from 1 to 9999.
    """
    read, part = _reader(step), _part(step)
    dtype = np.float64 if step.part == "epoch_secs" else np.int64
    expected = "ISO 8601" if step.format == "iso" else f"the format {step.format!r}"

    def compute(values: Array) -> tuple[Array, Bad]:
        bad: dict[int, str] = {}
        found = np.zeros(len(values), dtype=dtype)
        for i, text in enumerate(values.tolist()):
            try:
                found[i] = part(read(text))
            except (ValueError, OverflowError):
                shown = repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}...")
                bad[i] = f"found {shown}, expected a time in {expected}"
        return found, bad

    return each_value(column, compute)


def _reader(step: ParseTime) -> Callable[[str], datetime]:
    """What makes a time of a text, with the offset of UTC, or as it is written."""

    def read(text: str) -> datetime:
        text = text.strip()
        if step.format == "iso":
            time = datetime.fromisoformat(text)
        else:
            time = datetime.strptime(text, step.format)  # the offset follows
        if time.tzinfo is None or step.clock == "text":
            return time.replace(tzinfo=UTC)
        return time.astimezone(UTC)

    return read


def _part(step: ParseTime) -> Callable[[datetime], float]:
    name = step.part
    if name == "epoch_us":
        return lambda time: (time - _EPOCH) // _MICROSECOND
    if name == "epoch_secs":
        return lambda time: (time - _EPOCH) / timedelta(seconds=1)
    if name == "weekday":
        return datetime.weekday
    if name == "day_of_year":
        return lambda time: time.timetuple().tm_yday

    def attribute(time: datetime) -> int:
        value: int = getattr(time, name)
        return value

    return attribute
