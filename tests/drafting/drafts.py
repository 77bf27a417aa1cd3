"""Models of a draft, and what records have, without files."""

from pipeline.batch.tensors import TensorSpec
from pipeline.drafting import chains, features, inputs, tables
from pipeline.drafting.draft import Draft, model_draft
from pipeline.drafting.keys import fields_of
from pipeline.formats.record_sample import Seen


def model(name, inputs, outputs=None, framework="torch"):
    """A model by its tensors: name -> row shape, or (row shape, names of features)."""
    made = []
    for tensor, shape in inputs.items():
        shape, names = shape if isinstance(shape, tuple) else (shape, None)
        made.append(TensorSpec(tensor, None, dims(shape), names))
    found = [TensorSpec(t, None, dims(shape)) for t, shape in (outputs or {"y": None}).items()]
    return model_draft(name, framework, f"models/{name}", None, inputs=made, outputs=found)


def dims(shape):
    return None if shape is None else (None, *shape)


def number(*shape):
    return Seen("number", shape, 9, distinct=True)


TEXT = Seen("text", (), 9, distinct=False)


def bound(models, seen=None):
    """A draft whose tensors are bound, as `init` does."""
    draft = Draft("e", list(models))
    if seen is not None:
        draft.key_of = fields_of(seen)
        seen = {field: seen[key] for field, key in draft.key_of.items()}
    features.bind(draft, seen)
    if seen is not None:
        tables.bind(draft, seen)
    chains.bind(draft, seen)
    inputs.bind(draft, seen)
    return draft


def by(draft):
    """(model, tensor) -> its source."""
    return {(m.name, t): b.by for m in draft.models for t, b in m.bound.items()}
