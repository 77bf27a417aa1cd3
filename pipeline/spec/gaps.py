"""Where the columns of an ensemble may lack values, and who cannot read such columns.

Known from the ensemble file alone: a field may lack values if it says so, a step passes that on or
ends it, and a model's outputs are always there. Who reads such a column without being able to is
refused before any model is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pipeline.batch.tensors import FLOATS, describe
from pipeline.errors import SpecError
from pipeline.spec.column_types import Gaps, Type, TypesError
from pipeline.spec.combine import CombineStep
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.model import ModelSpec
from pipeline.spec.prepare import PrepareStep
from pipeline.spec.record import FieldSpec


def gaps_of(
    spec: EnsembleSpec,
    steps: Sequence[PrepareStep | CombineStep],
    types: Mapping[str, Type],
    producers: Mapping[str, str],
) -> dict[str, Gaps]:
    """Where each column of an ensemble may lack values.

    Args:
      spec: the ensemble.
      steps: in the order in which they run.
      types: of the columns that are known without the models.
      producers: column -> what makes it, in words.

    Raises:
      SpecError: a step, a model or a prediction cannot have the missing values of a column; lists
        all of them.
    """
    gaps = {name: _of_field(field) for name, field in spec.record.fields.items()}
    gaps |= {c: Gaps.NONE for model in spec.models for c in model.columns_written()}
    problems: list[str] = []
    for step in steps:
        read = step.columns_read()
        worst = max(gaps[column] for column in read)
        try:
            made = step.gaps(*(gaps[column] for column in read))
        except TypesError as needs:
            found = _listed([c for c in read if gaps[c] == worst], producers)
            problems.append(f"{step.title} ({step.op}) {needs}; {found} may lack some")
            made = Gaps.NONE
        for column in step.columns_written():
            gaps[column] = made
            dtype, _ = types.get(column, (FLOATS[0], ()))
            if made is Gaps.INSIDE and dtype not in FLOATS:
                found = _listed([c for c in read if gaps[c]], producers)
                problems.append(
                    f"{step.title} ({step.op}) joins columns as {dtype}, which has nothing that "
                    f"means missing, but {found} may lack values; `op: fill` fills them, "
                    "`op: cast` makes integers floats"
                )
    for model in spec.models:
        problems += _problems_of(model, gaps, types, producers)
    problems += [
        f"output column '{column}' of {producers[column]} is a vector in which values may be "
        f"missing, which no prediction can have; {_way_out(column, types, producers)}"
        for column in spec.output_columns()
        if gaps[column] is Gaps.INSIDE
    ]
    if problems:
        raise SpecError(problems)
    return gaps


def _of_field(field: FieldSpec) -> Gaps:
    if not field.keeps_missing:
        return Gaps.NONE
    return Gaps.INSIDE if field.shape and field.dtype in FLOATS else Gaps.ROWS


def _problems_of(
    model: ModelSpec,
    gaps: Mapping[str, Gaps],
    types: Mapping[str, Type],
    producers: Mapping[str, str],
) -> Iterator[str]:
    for tensor, binding in model.column_inputs.items():
        column = binding.column
        if not gaps[column]:
            continue
        reads = f"model '{model.name}' input '{tensor}' reads column '{column}'"
        maker, way_out = producers[column], _way_out(column, types, producers)
        if not model.takes_missing:
            yield (
                f"{reads} of {maker}, which may lack values, and models of `framework: "
                f"{model.framework}` take none that are missing; {way_out}"
            )
        elif column in types and None in types[column][1]:
            yield (
                f"{reads} of {maker}, which may be missing, and is {describe(*types[column])}: "
                f"no model takes rows of variable length without values; {way_out}"
            )


def _listed(columns: Sequence[str], producers: Mapping[str, str]) -> str:
    return " and ".join(f"'{column}' of {producers[column]}" for column in dict.fromkeys(columns))


def _way_out(column: str, types: Mapping[str, Type], producers: Mapping[str, str]) -> str:
    """What to write so that the column lacks no values."""
    dtype, shape = types.get(column, ("", ()))
    if dtype == "bytes":
        return (
            "no step fills bytes: leave `missing: keep` out, records without them are dead letters"
        )
    if not dtype or None in shape:
        return "fill what it is made from with `op: fill`, or leave `missing: keep` out"
    value = {"string": "''", "bool": "false"}.get(dtype, "0")
    step = f"column: {column}_filled, op: fill, of: {column}, value: {value}"
    return f"a prepare step {{{step}}} fills it"
