"""The prepare step that reads points in time."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline.spec.column_types import Type, need
from pipeline.spec.prepare.step import Elementwise

_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)
_OF_THE_YEAR = {"Y", "y", "G", "c", "x"}
_OF_THE_CLOCK = ("hour", "minute", "second")


class ParseTime(Elementwise):
    """Points in time as a number: `string[...]` -> `[...]`.

    `epoch_secs` is `float64` (to a microsecond), all else `int64`: `epoch_us` microseconds since
    1970, `weekday` 0 for Monday to 6, `day_of_year` from 1, and the parts of date and clock. A text
    without an offset is UTC. One with an offset (`Z`, `+02:00`) is brought to UTC first; with
    `clock: text`, date and clock are those that are written. No names of time zones are read.
    """

    error_type = "bad_time"

    op: Literal["parse_time"]
    part: Literal[
        "epoch_secs",
        "epoch_us",
        "year",
        "month",
        "day",
        "hour",
        "minute",
        "second",
        "weekday",
        "day_of_year",
    ] = Field(description="What of it.")
    format: str = Field(
        default="iso",
        description="`iso`: ISO 8601, a date or a date and a time; or as Python's `strptime` has "
        "it, such as `%d/%m/%Y %H:%M`.",
    )
    clock: Literal["utc", "text"] = Field(
        default="utc", description="Whose date and clock: those of UTC, or those of the text."
    )

    @field_validator("format")
    @classmethod
    def _known_directives(cls, format: str) -> str:
        if format == "iso":
            return format
        found = _DIRECTIVE.findall(format)
        if not found:
            raise ValueError(f"found {format!r}, expected `iso` or directives such as %Y-%m-%d")
        if "Z" in found:
            raise ValueError("found %Z, a name of a time zone; expected its offset, %z, or none")
        try:
            datetime.strptime("", format)  # only its directives are looked at
        except ValueError as error:
            if "does not match" not in str(error):
                raise ValueError(f"found {format!r}: {error}") from error
        return format

    @model_validator(mode="after")
    def _has_what_is_asked_for(self) -> ParseTime:
        known = {"Y"} if self.format == "iso" else {*_DIRECTIVE.findall(self.format)}
        if self.part not in _OF_THE_CLOCK and not known & _OF_THE_YEAR:
            raise ValueError(f"`part: {self.part}` needs a year, and the format has none (%Y)")
        if self.clock == "text" and self.part.startswith("epoch"):
            raise ValueError(f"`clock: text` has no use with `part: {self.part}`")
        return self

    def types(self, *read: Type) -> dict[str, Type]:
        """Numbers of the same shape."""
        ((dtype, shape),) = read
        need(dtype == "string", "text")
        return {self.column: ("float64" if self.part == "epoch_secs" else "int64", shape)}
