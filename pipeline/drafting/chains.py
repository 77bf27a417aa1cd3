"""Models that read what another one makes, such as a classifier behind a vectoriser: by shapes."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.backends.tables.names import are_made_up
from pipeline.batch.tensors import TensorSpec, dtype_fits
from pipeline.drafting.draft import GUESS, Bound, Draft, ModelDraft
from pipeline.formats.record_sample import Seen

_PREDICTIONS = {"predict", "predict_proba", "decision_function", "probs", "logits", "scores"}
"""Outputs that are mostly the end of a way."""


def bind(draft: Draft, seen: Mapping[str, Seen] | None = None) -> None:
    """Binds tensors that take rows of n numbers, which no record has and one model makes.

    Args:
      draft: the draft, which is changed.
      seen: fields that the records have; None if no records are known. Then a model whose own
        input looks the same as its output is not taken for the maker.
    """
    for model in draft.models:
        for tensor in model.inputs:
            row = tensor.row_shape
            named = tensor.features is not None and not are_made_up(tensor.features)
            if tensor.name in model.bound or named or row is None or len(row) != 1:
                continue
            if row[0] in (None, 1) or any(values.shape == row for values in (seen or {}).values()):
                continue
            found = [
                column
                for other in draft.models
                if model.name not in _behind(draft, other)
                and not (seen is None and _has(other, row))
                for column in _made(other, tensor)
            ]
            if found:
                others = f"; {', '.join(found[1:])} would fit as well" if found[1:] else ""
                note = f"{GUESS}it has the shape that this model takes{others}"
                model.bound[tensor.name] = Bound(found[0], note)


def _made(maker: ModelDraft, tensor: TensorSpec) -> list[str]:
    """The outputs of a model that are rows of such a tensor."""
    return [
        column
        for output, column in maker.outputs.items()
        if output not in _PREDICTIONS
        and (known := maker.types.get(output)) is not None
        and known.dims is not None
        and known.row_shape == tensor.row_shape
        and (known.dtype is None or tensor.dtype is None or dtype_fits(known.dtype, tensor.dtype))
    ]


def _has(model: ModelDraft, row: tuple[int | None, ...]) -> bool:
    return any(tensor.row_shape == row for tensor in model.inputs)


def _behind(draft: Draft, model: ModelDraft) -> set[str]:
    """The model, and those whose outputs it reads, as far as they are bound."""
    maker = {column: each for each in draft.models for column in each.outputs.values()}
    found, to_visit = set[str](), [model]
    while to_visit:
        each = to_visit.pop()
        if each.name not in found:
            found.add(each.name)
            read = [name for bound in each.bound.values() for name in bound.columns]
            to_visit += [maker[name] for name in read if name in maker]
    return found
