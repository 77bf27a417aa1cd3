"""Records that models parse themselves: serialized tf.Example messages."""

from __future__ import annotations

from pipeline.batch.tensors import describe
from pipeline.drafting.draft import FILL_IN, Bound, Draft, FieldDraft

_FIELD = "example"


def bind(draft: Draft) -> None:
    """Declares records that are serialized examples, and feeds them to the models.

    Args:
      draft: the draft, which is changed.
    """
    draft.source = "raw"
    draft.fields[_FIELD] = FieldDraft("bytes", ())
    for model in draft.models:
        for tensor in model.inputs:
            note = ""
            if not model.takes_examples:
                note = (
                    f"{FILL_IN}this model takes {describe(tensor.dtype, tensor.row_shape)}, no "
                    "serialized example; one ensemble cannot have both"
                )
            model.bound[tensor.name] = Bound(_FIELD, note)
