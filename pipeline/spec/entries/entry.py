"""What an entry of `models` has, whatever its framework, as a typed, immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.batch.names import doubled, some
from pipeline.spec import version_pattern
from pipeline.spec.inputs import ColumnInput, ConstantInput
from pipeline.spec.strict_model import Name, StrictModel
from pipeline.spec.uris import is_class_uri, is_hub_url, plain_path

Device = Literal["auto", "cpu", "gpu"]
Precision = Literal["full", "half"]
ModelSharing = Literal["process", "vm"]

RECORD_KEY = "record_key"
"""The tensor by which a model gets the ids of its records, as text."""

_HALF_ELSEWHERE = {
    "OnnxModel": "an ONNX graph has its precision in the file: export it in float16",
    "TensorflowModel": "a TensorFlow model has its precision in its files: save it so",
    "PythonModel": "a Python class decides itself in which precision it computes",
    **dict.fromkeys(
        ("SklearnModel", "XgboostModel", "LightgbmModel", "CatboostModel"),
        "this framework computes in full only",
    ),
}


class ModelEntry(StrictModel):
    """What a model of any framework has in the ensemble file.

    Attributes:
      reads_hubs: whether `uri` may be the URL of a hub's module.
      takes_columns: whether its features may come from a column each.
      takes_missing: whether its inputs may lack values: NaN in numbers, None in text and booleans.
    """

    reads_hubs: ClassVar[bool] = False
    takes_columns: ClassVar[bool] = False
    takes_missing: ClassVar[bool] = False

    name: Name = Field(description="The model's name in graphs, metrics, labels and errors.")
    uri: str = Field(
        min_length=1,
        description="File or folder of the model, `gs://` or local; relative to the ensemble file. "
        "Or an archive of such a folder: `.tar.gz`, `.tgz`, `.zip`. "
        "For `tensorflow` also the URL of a hub's module, such as "
        "`https://tfhub.dev/google/nnlm-en-dim50/2`.",
    )
    inputs: dict[str, ColumnInput | ConstantInput] = Field(
        min_length=1,
        description="Model tensor: column. Also `{column: ..., pad_value: ...}`, or "
        "`{value: ..., dtype: ...}` for a constant without batch axis. A model of tables takes a "
        "column for each of its features, too: `{X: [age, sex]}`, or `{age: age, sex: sex}` by "
        "their names.",
    )
    outputs: dict[str, Name] = Field(
        min_length=1, description="Model tensor: name of the column that it becomes."
    )
    bytes_outputs: tuple[str, ...] = Field(
        default=(),
        description="Those of `outputs` that hold bytes, such as an image: always base64 in JSON, "
        "binary in Parquet, BYTES in BigQuery. All others are numbers or text, and a row whose "
        "text is not UTF-8 is a dead letter. TensorFlow itself calls both `string`. The `mask` of "
        "`image-segmentation` is bytes without it.",
    )
    max_batch_size: int | None = Field(
        default=None, ge=1, description="Most rows in one call of this model."
    )
    device: Device | None = Field(
        default=None, description="Overrides `--device` for this model; `gpu` refuses a fallback."
    )
    model_sharing: ModelSharing = Field(
        default="process",
        description="`vm`: one copy for all processes of a worker machine, in a process of its "
        "own, for a model too large for each to hold one. No effect if only one process serves.",
    )
    precision: Precision = Field(
        default="full",
        description="`half`, for `torch` and `transformers`: float16 on a GPU, bfloat16 on a CPU, "
        "half the memory. The tolerance of golden examples is then 0.02 unless they name one.",
    )
    warm_up: bool = Field(
        default=True,
        description="Run the model when it is loaded, on made-up rows if there are no others. "
        "Switch it off for a model that rejects made-up rows.",
    )
    independent_rows: bool = Field(
        default=True,
        description="`false`: a row's outputs are meant to depend on the rows computed with it, or "
        "on earlier calls. They are then not compared, neither at launch nor while the job runs.",
    )
    watch: str | None = Field(
        default=None,
        description="Pattern under which new versions of the model appear, `gs://` or local, such "
        "as `gs://bucket/clf/*`; relative to the ensemble file. A version is a file or a folder. "
        "The highest number is the newest if all names have one in the same place, otherwise the "
        "last modified is. A job starts at the newest that passes, or at `uri` if none passes.",
    )
    complete_marker: str | None = Field(
        default=None,
        description="Name of a file, such as `_SUCCESS`, that is written last into a version's "
        "folder: under `watch`, only folders that hold it count. Without it, a folder counts after "
        "two looks found it unchanged.",
    )

    @field_validator("uri")
    @classmethod
    def _hubs_have_tensorflow_models(cls, uri: str) -> str:
        if is_hub_url(uri) and not cls.reads_hubs:
            raise ValueError(
                f"found the web address '{uri}', expected a local path or gs://bucket/path; only "
                "`framework: tensorflow` reads modules of a hub"
            )
        return plain_path(uri)

    @field_validator("precision")
    @classmethod
    def _can_be_halved(cls, precision: Precision) -> Precision:
        advice = _HALF_ELSEWHERE.get(cls.__name__)
        if precision == "half" and advice is not None:
            raise ValueError(
                f"found 'half', which only `framework: torch` and `transformers` support; {advice}"
            )
        return precision

    @field_validator("watch")
    @classmethod
    def _watchable(cls, watch: str | None) -> str | None:
        return None if watch is None else version_pattern.check(watch)

    @field_validator("complete_marker")
    @classmethod
    def _marker_is_a_name(cls, marker: str | None) -> str | None:
        if marker is not None and ("/" in marker or not marker):
            raise ValueError(f"found {marker!r}, expected the name of a file, without '/'")
        return marker

    @model_validator(mode="after")
    def _marker_is_of_use(self) -> ModelEntry:
        if self.complete_marker is not None and self.watch is None:
            raise ValueError("key 'complete_marker' has no use without the key 'watch'")
        return self

    @field_validator("inputs", mode="before")
    @classmethod
    def _column_shorthand(cls, inputs: Any) -> Any:
        if not isinstance(inputs, dict):
            return inputs
        for tensor, bound in inputs.items():
            if isinstance(bound, list):
                return cls._listed(tensor, bound, len(inputs))
        return {k: {"column": v} if isinstance(v, str) else v for k, v in inputs.items()}

    @classmethod
    def _listed(cls, tensor: str, columns: list[Any], inputs: int) -> dict[str, Any]:
        """A list of columns as an input for each, which a model knows by name or by position."""
        found = f"'{tensor}': found a list, "
        if not cls.takes_columns:
            raise ValueError(
                f"{found}expected a column name, {{column, pad_value}} or {{value, dtype}}: only "
                "models of tables take a list (sklearn, xgboost, lightgbm, catboost); `op: concat` "
                "joins columns of numbers"
            )
        if not columns or not all(isinstance(column, str) for column in columns):
            raise ValueError(f"{found}expected names of columns in it")
        twice = sorted(doubled(columns))
        if twice:
            raise ValueError(f"{found}which has {some(twice)} twice")
        if inputs > 1:
            raise ValueError(
                f"{found}expected it as the only input; with several, name each feature: "
                "{age: age, fare: fare}"
            )
        return {column: {"column": column, "position": i} for i, column in enumerate(columns)}

    def with_listed_by_key(self, key_of: Mapping[str, str]) -> Self:
        """The same, where inputs that are columns of a list have the names of the fields' keys.

        Args:
          key_of: field -> the key of a record that holds it.
        """
        inputs = {
            key_of.get(tensor, tensor) if self._is_listed(tensor) else tensor: bound
            for tensor, bound in self.inputs.items()
        }
        return self if inputs == self.inputs else self.model_copy(update={"inputs": inputs})

    def _is_listed(self, tensor: str) -> bool:
        bound = self.column_inputs.get(tensor)
        return bound is not None and bound.position is not None and bound.column == tensor

    @model_validator(mode="after")
    def _positions_are_of_use(self) -> ModelEntry:
        for tensor, bound in self.column_inputs.items():
            if bound.position is not None and not self.takes_columns:
                raise ValueError(
                    f"key 'position' of input '{tensor}' has no use here: only models of tables "
                    "take a column for each feature"
                )
        return self

    @model_validator(mode="after")
    def _bytes_are_outputs(self) -> ModelEntry:
        for tensor in self.bytes_outputs:
            if tensor not in self.outputs:
                raise ValueError(
                    f"key 'bytes_outputs': found '{tensor}', expected tensors of `outputs`: "
                    f"{some(self.outputs)}"
                )
        return self

    @property
    def keyed(self) -> bool:
        """Whether it gets the ids of records, besides its inputs, as the tensor `RECORD_KEY`."""
        return False

    @property
    def batched_inputs(self) -> dict[str, ColumnInput]:
        """The inputs that have rows, the ids of records among them."""
        inputs = self.column_inputs
        if self.keyed:
            # No column of an ensemble file can have this name.
            inputs[RECORD_KEY] = ColumnInput.model_construct(column=f"({RECORD_KEY})")
        return inputs

    @property
    def artifact_uri(self) -> str:
        """The URI of its files."""
        return self.uri

    def version_problem(self, uri: str) -> str | None:
        """Why no version of this model can be at `uri`, whatever URIs are allowed; else None.

        Only the ensemble file names Python classes: nothing that arrives later may import code.
        """
        own = self.artifact_uri
        if uri != own and is_class_uri(own):
            return (
                f"{uri} cannot replace a Python class, which changes with the image only (a class "
                f"with the key `path` is refreshed by its files); expected {own}"
            )
        if uri != own and is_class_uri(uri):
            return f"{uri} is a Python class, expected a file or folder"
        return None

    @property
    def is_unbound(self) -> bool:
        """Whether it binds no tensor; see `unbound`."""
        return not self.inputs

    @property
    def column_inputs(self) -> dict[str, ColumnInput]:
        """The inputs that have rows, by tensor; the others are constants."""
        return {t: bound for t, bound in self.inputs.items() if isinstance(bound, ColumnInput)}

    def columns_read(self) -> list[str]:
        """The columns that feed it, each once, in the order of the file."""
        bound = [binding.column for binding in self.column_inputs.values()]
        return list(dict.fromkeys(bound))

    def columns_written(self) -> list[str]:
        """The columns that it produces."""
        return list(self.outputs.values())
