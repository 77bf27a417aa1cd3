"""Suggests how the outputs of several models could become one prediction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from pipeline.batch.tensors import FLOATS, Shape
from pipeline.drafting.draft import GUESS, Draft, StepDraft
from pipeline.spec.column_types import Type

_MOST_CLASSES = 1000


def suggest(draft: Draft, types: Mapping[str, Type]) -> None:
    """Adds the mean of columns that look like scores of the same classes, told from the same input.

    If nothing says that they are probabilities, the steps are comments.

    Args:
      draft: the draft, which is changed.
      types: column -> dtype and row shape, for the outputs that are known.
    """
    alike: defaultdict[tuple[Shape, frozenset[str]], list[str]] = defaultdict(list)
    for model in draft.models:
        scores = [c for c in model.outputs.values() if _is_scores(types.get(c))]
        if len(scores) == 1:
            reads = frozenset(name for bound in model.bound.values() for name in bound.columns)
            alike[types[scores[0]][1], reads].append(scores[0])
    groups = [(shape, columns) for (shape, _), columns in alike.items() if len(columns) > 1]
    groups.sort(key=lambda group: not any("prob" in column for column in group[1]))
    for number, (shape, columns) in enumerate(groups):
        ending = f"_{number + 1}" if number else ""
        sure = all("prob" in column for column in columns)
        likely = bool(shape) and any("prob" in column for column in columns)
        note = (
            ""
            if sure
            else f"{GUESS}each holds {shape[0]} scores"
            if shape
            else f"{GUESS}each is a score"
        )
        mean = {"column": f"proba{ending}" if likely else f"mean{ending}", "op": "mean"}
        draft.combine.append(StepDraft({**mean, "of": columns}, note, is_comment=not likely))
        if shape:
            best = {"column": f"label{ending}", "op": "argmax", "of": mean["column"]}
            draft.combine.append(StepDraft(best, "", is_comment=not likely))


def _is_scores(known: Type | None) -> bool:
    if known is None or known[0] not in FLOATS:
        return False
    shape = known[1]
    return not shape or (len(shape) == 1 and shape[0] is not None and 1 < shape[0] <= _MOST_CLASSES)
