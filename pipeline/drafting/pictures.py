"""Prepare steps from picture files to what models read: decoded, resized, as numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.batch.tensors import Shape, TensorSpec, describe
from pipeline.drafting.draft import FILL_IN, GUESS, Bound, Draft, FieldDraft, ModelDraft, StepDraft
from pipeline.drafting.families import Preparation, preparation

_FIELD, _USUAL_SIZE = "file", 224
_COLOURS = 3
_CHANNELS = (1, _COLOURS)


def take_pictures(tensors: Iterable[TensorSpec]) -> bool:
    """Whether tensors are pictures of any size, which no field of a record can be."""
    rows = [tensor.row_shape for tensor in tensors]
    return bool(rows) and all(
        row is not None and len(row) == 3 and row.count(None) == 2 for row in rows
    )


def bind(draft: Draft) -> None:
    """Declares records that are image files, and the steps to every input of the models.

    Args:
      draft: the draft, which is changed.
    """
    draft.source = "image"
    draft.fields[_FIELD] = FieldDraft("bytes", ())
    steps = _Steps()
    for model in draft.models:
        for tensor in model.inputs:
            model.bound[tensor.name] = steps.to(tensor, model)
    draft.prepare = steps.made


class _Steps:
    """The steps that were needed so far; each is made once.

    Attributes:
      made: in the order in which they run.
    """

    def __init__(self) -> None:
        self.made: list[StepDraft] = []

    def to(self, tensor: TensorSpec, model: ModelDraft) -> Bound:
        """The source of a model's tensor."""
        row = tensor.row_shape
        layout, channels, sizes = _picture(row)
        decoded = self._decoded(channels)
        if layout is None:
            note = f"{FILL_IN}the model takes {describe(tensor.dtype, row)}, which is no picture"
            return Bound(decoded, note)
        if tensor.dtype == "uint8" and layout == "hwc" and sizes == (None, None):
            return Bound(decoded)
        shape_note = "" if row else f"{GUESS}the model does not declare its shape"
        height, width = (size or _USUAL_SIZE for size in sizes)
        size_note = f"{FILL_IN}height and width; the model does not say" if None in sizes else ""
        of_model = None if None in sizes else (height, width)
        known = preparation(model.clues, layout, of_model)
        if known is not None and tensor.dtype != "uint8" and channels == _COLOURS:
            size_note *= not model.clues.files
            return Bound(self._prepared(decoded, known, model, layout, size_note), shape_note)
        small = self._step(
            "small",
            f"{height}x{width}",
            size_note,
            op="resize",
            of=decoded,
            height=height,
            width=width,
        )
        if tensor.dtype == "uint8":
            return Bound(small)
        note = (
            f"{GUESS}pixels from 0 to 1, stretched to its size. What it was trained with, only you "
            "can tell: examples/images/README.md has the lines of published families"
        )
        layouts = {"layout": layout} if layout == "chw" else {}
        pixels = self._step(
            "pixels", f"{height}x{width}_{layout}", note, op="normalize", of=small, **layouts
        )
        return Bound(pixels, shape_note)

    def _prepared(
        self, decoded: str, known: Preparation, model: ModelDraft, layout: str, size_note: str
    ) -> str:
        """The pixels that a family of models reads."""
        column = decoded
        names = {"resize": "small", "center_crop": "middle", "normalize": "pixels"}
        for keys in known.steps:
            op, others = keys["op"], {k: v for k, v in keys.items() if k != "op"}
            if op == "normalize" and layout == "chw":
                others["layout"] = layout
            note = {"resize": size_note, "normalize": f"{GUESS}{known.because}"}.get(op, "")
            column = self._step(names[op], model.name, note, op=op, of=column, **others)
        return column

    def _decoded(self, channels: int) -> str:
        keys = {} if channels == 3 else {"channels": channels}
        return self._step("picture", "grey", "", op="decode_image", of=_FIELD, **keys)

    def _step(self, column: str, otherwise: str, note: str, **keys: Any) -> str:
        """The column of a step; made now, if there is none like it.

        Args:
          column: its name.
          otherwise: the text added to the name if another step has it.
          note: the note on the step.
          keys: the keys of the step.
        """
        for step in self.made:
            if {**step.keys, "column": ""} == {"column": "", **keys}:
                return str(step.keys["column"])
        if any(step.keys["column"] == column for step in self.made):
            column = f"{column}_{otherwise}"
        self.made.append(StepDraft({"column": column, **keys}, note))
        return column


def _picture(row: Shape | None) -> tuple[str | None, int, tuple[int | None, int | None]]:
    """Layout, channels, height and width of a picture; no layout if it is not a picture."""
    if row in (None, (None, None, None)):
        return "chw", 3, (None, None)
    if len(row) == 3:
        first, middle, last = row
        if last in _CHANNELS:
            return "hwc", int(last or 3), (first, middle)
        if first in _CHANNELS:
            return "chw", int(first or 3), (middle, last)
    return None, 3, (None, None)
