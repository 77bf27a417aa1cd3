"""The `models` of the ensemble file, one class for each framework, as typed, immutable values."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from pipeline.core import version_pattern
from pipeline.core.combine_spec import Name, StrictModel
from pipeline.core.record_spec import DTypeName
from pipeline.core.tensors import numpy_dtype

Device = Literal["auto", "cpu", "gpu"]


class ColumnInput(StrictModel):
    """A model input that is fed from a column."""

    column: Name = Field(description="Record field or another model's output.")
    pad_value: int | float | str | bool | None = Field(
        default=None,
        description="Fills rows of different length up to the longest of the batch. Without it, "
        "rows are grouped by length and the model is called once for each group.",
    )


class ConstantInput(StrictModel):
    """A model input that is the same for every row and has no batch axis."""

    value: Any = Field(description="Number, text, boolean or nested list of them.")
    dtype: DTypeName = Field(description="Type of the tensor.")

    @model_validator(mode="after")
    def _value_has_dtype(self) -> ConstantInput:
        self.array()
        return self

    def array(self) -> np.ndarray[Any, Any]:
        """The value as an array of its dtype.

        Raises:
          ValueError: the value cannot be held by the dtype without change.
        """
        wrong = ValueError(f"{self.value!r} is not a {self.dtype}")
        try:
            array = np.asarray(self.value, dtype=numpy_dtype(self.dtype))
            plain = np.asarray(self.value)
        except (ValueError, OverflowError, TypeError):
            raise wrong from None
        if self.dtype in ("bool", "string", "bytes"):
            kinds = {"bool": (bool,), "string": (str,), "bytes": (str, bytes)}[self.dtype]
            if not all(isinstance(item, kinds) for item in plain.ravel().tolist()):
                raise wrong
        elif plain.dtype.kind not in "iuf" or not np.allclose(array, plain, rtol=1e-3):
            raise wrong
        return array


class _ModelBase(StrictModel):
    name: Name = Field(description="The model's name in graphs, metrics, labels and errors.")
    uri: str = Field(
        min_length=1,
        description="File or folder of the model, `gs://` or local; relative to the ensemble file.",
    )
    inputs: dict[str, ColumnInput | ConstantInput] = Field(
        min_length=1,
        description="Model tensor: column. Also `{column: ..., pad_value: ...}`, or "
        "`{value: ..., dtype: ...}` for a constant without batch axis.",
    )
    outputs: dict[str, Name] = Field(
        min_length=1, description="Model tensor: name of the column that it becomes."
    )
    max_batch_size: int | None = Field(
        default=None, ge=1, description="Most rows in one call of this model."
    )
    device: Device | None = Field(
        default=None, description="Overrides `--device` for this model; `gpu` refuses a fallback."
    )
    warm_up: bool = Field(
        default=True,
        description="Run the model once on made-up rows (zeros, empty text) when it is loaded. "
        "Switch it off for a model that rejects such rows.",
    )
    watch: str | None = Field(
        default=None,
        description="Pattern under which new versions of the model appear, `gs://` or local, such "
        "as `gs://bucket/clf/*`; relative to the ensemble file. A version is a file or a folder; "
        "the highest number among their names is the newest, without numbers the last modified.",
    )
    complete_marker: str | None = Field(
        default=None,
        description="Name of a file, such as `_SUCCESS`, that is written last into a version's "
        "folder: under `watch`, only folders that hold it count. Without it, a folder counts once "
        "two looks found it unchanged.",
    )

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
    def _marker_is_of_use(self) -> _ModelBase:
        if self.complete_marker is not None and self.watch is None:
            raise ValueError("key 'complete_marker' has no use without the key 'watch'")
        return self

    @field_validator("inputs", mode="before")
    @classmethod
    def _column_shorthand(cls, inputs: Any) -> Any:
        if not isinstance(inputs, dict):
            return inputs
        return {k: {"column": v} if isinstance(v, str) else v for k, v in inputs.items()}

    def columns_read(self) -> list[str]:
        """The columns that feed it, each once, in the order of the file."""
        bound = [b.column for b in self.inputs.values() if isinstance(b, ColumnInput)]
        return list(dict.fromkeys(bound))

    def columns_written(self) -> list[str]:
        """The columns that it produces."""
        return list(self.outputs.values())


class SklearnModel(_ModelBase):
    """A scikit-learn estimator. One input, the feature matrix; outputs are its methods."""

    framework: Literal["sklearn"]
    trusted: bool = Field(
        default=False,
        description="Allow pickle and joblib files, or unknown types in skops files: loading them "
        "runs code that they carry.",
    )


class OnnxModel(_ModelBase):
    """An ONNX graph run by ONNX Runtime: a file, or a folder with one `.onnx` file in it."""

    framework: Literal["onnx"]


class TorchModel(_ModelBase):
    """TorchScript, `torch.export` (.pt2), or a state dict with `module`."""

    framework: Literal["torch"]
    module: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$",
        description="`package.Class` of the network whose state dict the file holds.",
    )
    module_args: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments for `module`."
    )


class TensorflowModel(_ModelBase):
    """A SavedModel folder, or a `.keras` file."""

    framework: Literal["tensorflow"]
    signature: str = Field(
        default="serving_default", description="Signature of the SavedModel to call."
    )


ModelSpec = SklearnModel | OnnxModel | TorchModel | TensorflowModel
AnyModel = Annotated[ModelSpec, Field(discriminator="framework")]
