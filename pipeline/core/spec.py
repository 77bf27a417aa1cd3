"""The ensemble file as typed, immutable values. Only its own shape is checked here.

How columns connect is checked in :mod:`pipeline.core.graph`; whether the models agree is checked by
loading them. Reading the text, with line numbers in the errors, is :mod:`pipeline.core.spec_text`.
"""

from __future__ import annotations

from pydantic import Field

from pipeline.core.combine_spec import AnyCombine, CombineStep, Name, StrictModel
from pipeline.core.model_spec import AnyModel, ModelSpec
from pipeline.core.prepare_spec import AnyPrepare
from pipeline.core.record_spec import RecordSpec


class EnsembleSpec(StrictModel):
    """One ensemble: a record, the models that read it, and how their outputs become predictions."""

    name: Name = Field(description="Name of the ensemble.")
    record: RecordSpec = Field(description="What a record looks like.")
    prepare: tuple[AnyPrepare, ...] = Field(
        default=(),
        description="Steps from the record's fields to what the models read, in any order.",
    )
    models: tuple[AnyModel, ...] = Field(min_length=1, description="The models, in any order.")
    combine: tuple[AnyCombine, ...] = Field(
        default=(), description="Steps from the models' outputs to the predictions, in any order."
    )
    output: tuple[Name, ...] = Field(
        default=(),
        description="Columns of a prediction, in this order. Without it: every column of "
        "`combine`, or every model output when there is no `combine`.",
    )
    pass_through: tuple[str, ...] = Field(
        default=(),
        description="Keys of the record that a prediction repeats as they came, declared under "
        "`fields` or not; null where a record has none.",
    )

    def output_columns(self) -> tuple[str, ...]:
        """The columns of a prediction, with the default filled in."""
        if self.output:
            return self.output
        steps: tuple[CombineStep, ...] | tuple[ModelSpec, ...] = self.combine or self.models
        return tuple(name for step in steps for name in step.columns_written())

    def model(self, name: str) -> ModelSpec:
        """The model entry called `name`.

        Raises:
          KeyError: there is none.
        """
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)
