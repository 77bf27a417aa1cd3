"""The `models` of the ensemble file, one class for each framework, as typed, immutable values."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from pipeline.spec.entries.entry import ModelEntry as ModelEntry
from pipeline.spec.entries.transformers import TransformersModel as TransformersModel
from pipeline.spec.inputs import ColumnInput as ColumnInput
from pipeline.spec.inputs import ConstantInput as ConstantInput
from pipeline.spec.uris import CLASS_SCHEME


class SklearnModel(ModelEntry):
    """A scikit-learn estimator. Outputs: its methods; of several targets `predict_proba.0`, `.1`...

    The methods: `predict`, `predict_proba`, `decision_function`, `transform`, `score_samples`;
    those that it has. Where `predict_proba` returns a list with an array for each of several
    targets, these are an output each; where it returns one array, that is the output.
    One input, the feature matrix, or one for each column of the table that it was fitted on.
    One that was fitted on a DataFrame gets one where its columns are bound: `{X: [age, sex]}`.

    Example::

        - name: forest
          framework: sklearn
          uri: models/forest/1/model.skops
          inputs: {X: features}
          outputs: {predict: forest}
    """

    takes_columns: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True
    framework: Literal["sklearn"]
    trusted: bool = Field(
        default=False,
        description="Allow pickle and joblib files, or unknown types in skops files: loading them "
        "runs code that they carry.",
    )


class OnnxModel(ModelEntry):
    """An ONNX graph run by ONNX Runtime: a file, or a folder with one `.onnx` file in it.

    Example::

        - name: net
          framework: onnx
          uri: models/net/1/model.onnx
          inputs: {x: features}
          outputs: {y: net}
    """

    framework: Literal["onnx"]


class TorchModel(ModelEntry):
    """TorchScript, `torch.export` (.pt2), or a state dict or safetensors with `module`.

    Inputs are the arguments of `forward`. Outputs without a name are `output_0`, `output_1`...

    Example::

        - name: net
          framework: torch
          uri: models/net/1/model.pt
          inputs: {input: features}
          outputs: {output_0: net}
    """

    framework: Literal["torch"]
    module: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*\.[A-Za-z_]\w*$",
        description="`package.Class` of the network whose weights the file holds.",
    )
    module_args: dict[str, Any] = Field(
        default_factory=dict, description="Keyword arguments for `module`."
    )
    trusted: bool = Field(
        default=False,
        description="Allow `.pt2` files that can run code, and TorchScript that can read or write "
        "files of the machine.",
    )


class TensorflowModel(ModelEntry):
    """A SavedModel folder, a `.keras` file, or a module of TF Hub or Kaggle.

    A module: `uri: https://tfhub.dev/google/nnlm-en-dim50/2`.

    Example::

        - name: net
          framework: tensorflow
          uri: models/net/1
          inputs: {x: features}
          outputs: {y: net}
    """

    reads_hubs: ClassVar[bool] = True

    framework: Literal["tensorflow"]
    signature: str = Field(
        default="serving_default",
        description="Signature of the SavedModel to call. `__call__` is the model itself, which is "
        "also called if it has no signature `serving_default`.",
    )
    trusted: bool = Field(
        default=False,
        description="Allow SavedModels that can read or write files of the machine.",
    )


class XgboostModel(ModelEntry):
    """An XGBoost booster, `.json` or `.ubj`. Outputs `predict`, `margin`, `leaf`.

    One input, the feature matrix; or one for each feature.

    Example::

        - name: risk
          framework: xgboost
          uri: models/risk/1/model.ubj
          inputs: {X: features}
          outputs: {predict: risk}
    """

    takes_columns: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True
    framework: Literal["xgboost"]


class LightgbmModel(ModelEntry):
    """A LightGBM booster, a text file. Outputs `predict`, `raw`, `leaf`.

    One input, the feature matrix; or one for each feature.

    Example::

        - name: risk
          framework: lightgbm
          uri: models/risk/1/model.txt
          inputs: {X: features}
          outputs: {predict: risk}
    """

    takes_columns: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True
    framework: Literal["lightgbm"]


class CatboostModel(ModelEntry):
    """A CatBoost model, `.cbm`. Outputs `predict`, `predict_proba` of classifiers, `raw`.

    One input, the feature matrix; or one for each feature, which categories and texts need.

    Example::

        - name: risk
          framework: catboost
          uri: models/risk/1/model.cbm
          inputs: {X: features}
          outputs: {predict: risk}
    """

    takes_columns: ClassVar[bool] = True
    takes_missing: ClassVar[bool] = True
    framework: Literal["catboost"]


class PythonModel(ModelEntry):
    """Your own class: `uri: package.module:Class`, with `load(path)` and `predict(columns)`.

    Example::

        - name: prices
          framework: python
          uri: my_steps.prices:Prices
          path: models/prices/1
          inputs: {area: area}
          outputs: {price: price}
    """

    takes_missing: ClassVar[bool] = True
    framework: Literal["python"]
    uri: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        description="`package.module:Class`, a class that can be imported where the job runs.",
    )
    path: str | None = Field(
        default=None,
        min_length=1,
        description="File or folder that is handed to `load`, `gs://` or local; relative to the "
        "ensemble file. It is what `watch` and refresh messages replace. Without it, `load` gets "
        "None, and the class changes with the image only.",
    )

    @model_validator(mode="after")
    def _watches_files(self) -> PythonModel:
        if self.watch is not None and self.path is None:
            raise ValueError("key 'watch' has no use without the key 'path'")
        return self

    @property
    def artifact_uri(self) -> str:
        """The URI of the files, or of the class itself if it needs none."""
        return self.path or CLASS_SCHEME + self.uri


ModelSpec = (
    SklearnModel
    | OnnxModel
    | TorchModel
    | TensorflowModel
    | XgboostModel
    | LightgbmModel
    | CatboostModel
    | TransformersModel
    | PythonModel
)


def unbound(framework: str, uri: str, **keys: Any) -> ModelSpec:
    """An entry that binds no tensor, so that a model can be loaded to learn its tensors.

    No ensemble file can hold one, and backends check no names for it: see `drafting.description`.

    Args:
      framework: the key `framework` of the entry.
      uri: the model.
      keys: further keys of this framework's entries, such as `trusted`.
    """
    for model in get_args(ModelSpec):
        if get_args(model.model_fields["framework"].annotation) == (framework,):
            entry: ModelSpec = model.model_construct(
                name="model", framework=framework, uri=uri, inputs={}, outputs={}, **keys
            )
            return entry
    raise ValueError(f"no entry has the framework '{framework}'")


AnyModel = Annotated[ModelSpec, Field(discriminator="framework")]
