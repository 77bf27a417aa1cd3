"""The ensemble file as typed, immutable values. This module checks only the form of the file.

:mod:`pipeline.spec.graph` checks how columns connect; loading the models checks whether they agree.
:mod:`pipeline.spec.text` reads the text, with line numbers in the errors.
"""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from pipeline.batch.names import doubled
from pipeline.spec.combine import AnyCombine, CombineStep
from pipeline.spec.model import AnyModel, ModelSpec
from pipeline.spec.prepare import AnyPrepare
from pipeline.spec.record import RecordSpec
from pipeline.spec.record.keys import RecordKey, written_name
from pipeline.spec.strict_model import Name, StrictModel


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
    pass_through: tuple[RecordKey, ...] = Field(
        default=(),
        description="Keys of the record that a prediction repeats as they came, declared under "
        "`fields` or not; null where a record has none. `{path: [user, zip]}` is repeated as "
        "`user.zip`.",
    )

    @field_validator("pass_through")
    @classmethod
    def _repeated_names_differ(cls, keys: tuple[RecordKey, ...]) -> tuple[RecordKey, ...]:
        names = [written_name(key) for key in dict.fromkeys(keys)]
        if twice := next(iter(doubled(names)), None):
            raise ValueError(
                f"found a key and a path that are both repeated as '{twice}', expected one of them"
            )
        return keys

    @model_validator(mode="after")
    def _columns_in_lists_have_the_names_of_their_keys(self) -> EnsembleSpec:
        """Features are found by name, and a table's columns are called as the keys."""
        key_of = {field: key for field, key in self.record.key_of.items() if isinstance(key, str)}
        models = tuple(model.with_listed_by_key(key_of) for model in self.models)
        return self if models == self.models else self.model_copy(update={"models": models})

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
