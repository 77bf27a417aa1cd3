"""Prepare steps of sound: files become waveforms."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.spec.column_types import Type, need
from pipeline.spec.prepare.step import OfOne
from pipeline.spec.strict_model import Name


class DecodeAudio(OfOne):
    """Sound files (WAV, FLAC) as waveforms of one channel: `bytes` -> `float32[any]`, -1 to 1.

    Several channels become their mean. A file that is cut short, or holds values that are no
    numbers, is a dead letter.
    """

    error_type = "bad_audio"

    op: Literal["decode_audio"]
    sampling_rate: int | None = Field(
        default=None,
        ge=1_000,
        le=384_000,
        description="Samples a second of the waveforms. A file with others is a dead letter.",
    )
    resample: bool = Field(
        default=False,
        description="`true`: such a file is brought to `sampling_rate` (scipy's `resample_poly`).",
    )
    rate: Name | None = Field(
        default=None,
        description="Name of a second column: the samples a second that the file has (`int64`).",
    )
    max_seconds: float = Field(
        default=600.0,
        gt=0,
        allow_inf_nan=False,
        description="A longer file is a dead letter; its length is read before it is decoded.",
    )

    @model_validator(mode="after")
    def _knows_the_rate(self) -> DecodeAudio:
        if self.resample and self.sampling_rate is None:
            raise ValueError("key 'resample' has no use without the key 'sampling_rate'")
        if self.rate is not None and self.sampling_rate is not None:
            raise ValueError(
                "found 'rate' and 'sampling_rate', expected one: with the second all waveforms "
                "have the same"
            )
        if self.rate is None and self.sampling_rate is None:
            raise ValueError(
                "expected 'sampling_rate', such as 16000, or 'rate', a column for what each file "
                "has: samples say nothing without it"
            )
        return self

    def columns_written(self) -> list[str]:
        """The waveforms, and their rates if they are asked for."""
        return [self.column] if self.rate is None else [self.column, self.rate]

    def types(self, *read: Type) -> dict[str, Type]:
        """Samples; their number varies."""
        need(read == (("bytes", ()),), "one sound file of dtype bytes in each record")
        made: dict[str, Type] = {self.column: ("float32", (None,))}
        return made if self.rate is None else {**made, self.rate: ("int64", ())}
