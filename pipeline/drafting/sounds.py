"""Prepare steps from sound files to what models hear: waveforms of the rate that they know."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.batch.tensors import TensorSpec, describe
from pipeline.drafting.draft import FILL_IN, GUESS, Bound, Draft, FieldDraft, ModelDraft, StepDraft

_FIELD, _RATE = "file", "sampling_rate"


def take_sounds(models: Iterable[ModelDraft]) -> bool:
    """Whether models hear waveforms, which no field of a record is likely to be."""
    tensors = [(model, tensor) for model in models for tensor in model.inputs]
    return bool(tensors) and all(_is_heard(model, tensor) for model, tensor in tensors)


def bind(draft: Draft) -> None:
    """Declares records that are sound files, and a step for each rate that the models know.

    Args:
      draft: the draft, which is changed.
    """
    draft.source = "audio"
    draft.fields[_FIELD] = FieldDraft("bytes", ())
    columns: dict[int, str] = {}
    for model in draft.models:
        for tensor in model.inputs:
            if not _is_heard(model, tensor):
                taken = describe(tensor.dtype, tensor.row_shape)
                model.bound[tensor.name] = Bound(
                    _FIELD, f"{FILL_IN}this model takes {taken}, which is no sound"
                )
                continue
            rate = model.keys[_RATE]
            column = columns.setdefault(rate, f"waveform_{rate}" if columns else "waveform")
            model.bound[tensor.name] = Bound(column)
    for rate, column in columns.items():
        keys = {"column": column, "op": "decode_audio", "of": _FIELD, _RATE: rate, "resample": True}
        note = (
            f"{GUESS}files of other rates are resampled; without `resample` they are dead letters"
        )
        draft.prepare.append(StepDraft(keys, note))


def _is_heard(model: ModelDraft, tensor: TensorSpec) -> bool:
    return tensor.name == "waveform" and isinstance(model.keys.get(_RATE), int)
