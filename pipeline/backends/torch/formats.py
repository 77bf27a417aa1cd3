"""The three ways to store a PyTorch network, each opened as a :class:`Network`.

The content of the file tells the format, not its suffix: `.pt` is used for all of them.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import threading
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.backends.failures import loading, needs_package
from pipeline.backends.reasons import own_words
from pipeline.backends.torch.casts import cast
from pipeline.backends.torch.exported_archive import check_plain
from pipeline.backends.torch.runtime import half_precision
from pipeline.backends.torch.script_archive import check_code
from pipeline.backends.torch.weights import is_safetensors, read_weights, unpickled
from pipeline.backends.user_class import load_class
from pipeline.batch.tensors import DTYPES, Shape, TensorSpec
from pipeline.errors import LoadError, UntrustedArtifactError
from pipeline.readable import logger
from pipeline.spec.model import TorchModel

EACH_ROW = "rows"
"""The output that is a list with one tensor for each row."""

TORCHSCRIPT, EXPORTED, STATE_DICT = "TorchScript", "a torch.export program", "a state dict"

_PYTHON_TYPES = {int, float, bool, str, "int", "float", "bool", "str"}
_PLAIN_TYPE = re.compile(r"(int|float|bool|str)|Optional\[(int|float|bool|str)\]")


@dataclass(frozen=True)
class Network:
    """A network as a function of named arguments.

    Attributes:
      call: arguments by name -> what the network returns.
      inputs: its arguments; None where it takes any.
      outputs: what it returns; None where the format does not tell.
      size_bytes: bytes of its parameters and buffers.
      half: some of these are float16 or bfloat16.
      optional: arguments with a default.
      plain: arguments that take a Python number or string instead of a tensor.
      floats: the dtype that its floating-point arguments are cast to; None to leave them as they
        are.
      warm_up_rows: see Servable. TorchScript watches its first call, and optimises at the second.
    """

    call: Callable[[Mapping[str, Any]], Any]
    inputs: tuple[TensorSpec, ...] | None
    outputs: tuple[TensorSpec, ...] | None
    size_bytes: int
    half: bool = False
    optional: frozenset[str] = field(default=frozenset())
    plain: frozenset[str] = field(default=frozenset())
    floats: Any = None
    warm_up_rows: tuple[int, ...] = ()


def open_network(path: Path, spec: TorchModel, device: str) -> Network:
    """Opens a file of any of the three formats, in evaluation mode, on a device.

    Raises:
      LoadError: it is none of them, is broken, or does not fit the entry's `module`.
      UntrustedArtifactError: it holds pickled objects other than tensors, or could run code or
        touch files, and the entry does not say `trusted`.
    """
    found = weights_format(path)
    if spec.module is None and found == STATE_DICT:
        _check_not_pickled(path)
        raise LoadError(
            f"{path} holds {STATE_DICT}, weights without a network; name the network's class with "
            "`module: package.Class`, or save the network as TorchScript or with torch.export"
        )
    if spec.module is not None and found != STATE_DICT:
        raise LoadError(
            f"{path} holds {found}, which brings its own code; remove `module: {spec.module}`, or "
            f"give the file of {STATE_DICT}"
        )
    if found == STATE_DICT:
        return _open_state_dict(path, spec, device)
    if found == EXPORTED and spec.precision == "half":
        raise LoadError(
            f"{path} holds {found}, whose precision is fixed in its code; export it in half "
            "precision, or remove `precision: half`"
        )
    with loading(path, found):
        return (
            _open_torchscript(path, spec, device)
            if found == TORCHSCRIPT
            else _open_exported(path, spec, device)
        )


def _check_not_pickled(path: Path) -> None:
    """Refuses a pickled network, which has the format of a state dict.

    Raises:
      UntrustedArtifactError: it is one.
    """
    if is_safetensors(path):
        return
    try:
        unpickled(path)
    except UntrustedArtifactError:
        raise
    except Exception:  # whatever is wrong with it, it is no network
        return


def weights_format(path: Path) -> str:
    """Which of the three formats a file has.

    Raises:
      LoadError: none of them.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # Members lie in one folder, except in the first torch.export format.
            members = {name.partition("/")[2] or name for name in archive.namelist()}
        if "constants.pkl" in members:
            return TORCHSCRIPT
        if "serialized_exported_program.json" in members or "archive_format" in members:
            return EXPORTED
        if "data.pkl" in members:
            return STATE_DICT
    with path.open("rb") as file:
        head = file.read(2)
    # torch.save before 1.6 made a bare pickle, protocol 2.
    if head == b"\x80\x02" or is_safetensors(path):
        return STATE_DICT
    raise LoadError(
        f"{path} is neither {TORCHSCRIPT}, nor {EXPORTED}, nor {STATE_DICT}; "
        + ("it is a broken or cut-off archive" if head == b"PK" else "its content is none of them")
    )


def named_outputs(result: Any) -> dict[str, Any]:
    """What a network returned, by name: tensors, and lists with one tensor for each row.

    A dict by its keys, a named tuple by its fields, any other sequence (or a single tensor) as
    ``output_0``, ``output_1``... A nested value is named with a dot: ``output_1.boxes``.

    A list of dicts has one for each row, and each key is an output. A list of tensors may be one
    for each row as well: that is the output ``rows``.
    """
    named: dict[str, Any]
    if isinstance(result, Mapping):
        named = {str(key): value for key, value in result.items()}
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        named = dict(zip(result._fields, result, strict=True))
    elif isinstance(result, tuple | list):
        if result and all(isinstance(row, Mapping) for row in result):
            keys = [key for key in result[0] if all(key in row for row in result)]
            return {str(key): [row[key] for row in result] for key in keys}
        named = {f"output_{i}": value for i, value in enumerate(result)}
    else:
        return {"output_0": result}
    found: dict[str, Any] = {}
    for name, value in named.items():
        if isinstance(value, Mapping | tuple | list):
            inner = named_outputs(value)
            found |= {f"{name}.{key}": within for key, within in inner.items()}
        else:
            found[name] = value
    if isinstance(result, list):
        found[EACH_ROW] = result
    return found


def _open_torchscript(path: Path, spec: TorchModel, device: str) -> Network:
    if not spec.trusted:
        check_code(path)
    script = _load_script(path, device).eval()
    floats = _halved(script, spec, device)
    arguments = script.forward.schema.arguments[1:]  # without self
    plain = {a.name for a in arguments if _PLAIN_TYPE.fullmatch(str(a.type))}
    lists = {a.name for a in arguments if str(a.type) == "List[Tensor]"}
    returned = script.forward.schema.returns[0].type
    outputs: tuple[TensorSpec, ...] | None = (
        None  # of dicts and named tuples, the schema keeps no names
    )
    if returned.kind() == "TensorType":
        outputs = (TensorSpec("output_0"),)
    elif (
        returned.kind() == "TupleType"
        and all(element.kind() == "TensorType" for element in returned.elements())
        and returned.annotation_str.startswith("Tuple[")
    ):
        outputs = tuple(TensorSpec(f"output_{i}") for i in range(len(returned.elements())))
    return Network(
        call=lambda values: script(
            **{n: list(value.unbind()) if n in lists else value for n, value in values.items()}
        ),
        inputs=tuple(TensorSpec(a.name, dims=() if a.name in plain else None) for a in arguments),
        outputs=outputs,
        size_bytes=_tensor_bytes(script.state_dict().values()),
        half=_has_halves(script.state_dict().values()),
        optional=frozenset(a.name for a in arguments if a.has_default_value()),
        plain=frozenset(plain),
        floats=floats,
        warm_up_rows=(2,),
    )


def _load_script(path: Path, device: str) -> Any:
    """Loads TorchScript; its detectors need operators that torchvision registers."""
    import torch

    try:
        return torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    with needs_package("torchvision"):
        importlib.import_module("torchvision")
    return torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]


def _open_exported(path: Path, spec: TorchModel, device: str) -> Network:
    """A `.pt2` program. A part that was exported in training mode stays in it (torch's rule)."""
    from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, TensorArgument
    from torch.export.passes import move_to_device_pass

    if not spec.trusted:
        check_plain(path)
    program = move_to_device_pass(_load_exported(path), device)
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    signature, calling = program.graph_signature, program.call_spec
    arguments = [s.arg for s in signature.input_specs if s.kind == InputKind.USER_INPUT]
    results = [s.arg for s in signature.output_specs if s.kind == OutputKind.USER_OUTPUT]
    module = program.module()
    taken = [a for a in arguments if not isinstance(a, ConstantArgument)]
    tensors = {a.name: values[a.name] for a in taken if isinstance(a, TensorArgument)}
    # NumPy has no bfloat16: such an input comes as another float.
    floats = {n: v.dtype for n, v in tensors.items() if _is_foreign_float(v.dtype)}

    def call(given: Mapping[str, Any]) -> Any:
        given = {n: cast(n, v, floats[n]) if n in floats else v for n, v in given.items()}
        leaves = [a.value if isinstance(a, ConstantArgument) else given[a.name] for a in arguments]
        positional, named = calling.in_spec.unflatten(leaves)
        return module(*positional, **named)

    def spec_of(argument: Any) -> TensorSpec:
        if isinstance(argument, TensorArgument):
            return _traced_spec(argument.name, values[argument.name])
        return TensorSpec(argument.name, dims=())

    returned = calling.out_spec.unflatten([spec_of(result) for result in results])
    held = (*program.state_dict.values(), *program.constants.values())
    return Network(
        call=call,
        inputs=tuple(spec_of(argument) for argument in taken),
        outputs=tuple(
            replace(value, name=name)
            for name, value in named_outputs(returned).items()
            if isinstance(value, TensorSpec)
        ),
        size_bytes=_tensor_bytes(held),
        half=_has_halves(held) or bool(floats),
        plain=frozenset(a.name for a in taken if not isinstance(a, TensorArgument)),
    )


def _load_exported(path: Path) -> Any:
    """Loads a program. PyTorch logs why it cannot, and raises that it has logged it."""
    import torch

    logged: list[BaseException] = []
    this_thread = threading.get_ident()  # others, which load programs as well, call the filter too

    def take_errors(record: logging.LogRecord) -> bool:
        ours = record.thread == this_thread
        error = record.exc_info[1] if ours and record.exc_info else None
        if error is not None:
            logged.append(error)
        return error is None

    of_torch = logger(torch.export.__name__)
    of_torch.addFilter(take_errors)
    try:
        with path.open("rb") as file:
            return torch.export.load(file)
    except RuntimeError as error:
        reason = logged[-1] if logged else error
        if "in pytree is not registered" not in str(reason):
            raise reason from None
        raise LoadError(
            f"{path} takes or returns objects of a class of its own ({own_words(reason)}); export "
            "a network that takes and returns tensors, tuples and dictionaries"
        ) from reason
    finally:
        of_torch.removeFilter(take_errors)


def _is_foreign_float(dtype: Any) -> bool:
    """Whether it is a dtype of floats that no column has, as bfloat16 is."""
    return bool(dtype.is_floating_point) and str(dtype).removeprefix("torch.") not in DTYPES


def _traced_spec(name: str, value: Any) -> TensorSpec:
    """The spec of a tensor that torch.export traced; a symbolic size is an axis that varies."""
    dtype = str(value.dtype).removeprefix("torch.")
    dims: Shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return TensorSpec(name, dtype if dtype in DTYPES else None, dims)


def _open_state_dict(path: Path, spec: TorchModel, device: str) -> Network:
    network = _instantiate(path, spec)
    with loading(path, f"the state dict of {spec.module}"):
        network.load_state_dict(read_weights(path, network.state_dict()), strict=True)
        network.eval().to(device)
        floats = _halved(network, spec, device)
    parameters = inspect.signature(network.forward).parameters.values()
    plain = {p.name for p in parameters if p.annotation in _PYTHON_TYPES}
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
    return Network(
        call=lambda values: network(**values),
        inputs=None
        if takes_any
        else tuple(TensorSpec(p.name, dims=() if p.name in plain else None) for p in named),
        outputs=None,
        size_bytes=_tensor_bytes(network.state_dict().values()),
        half=_has_halves(network.state_dict().values()),
        optional=frozenset(p.name for p in named if p.default is not p.empty),
        plain=frozenset(plain),
        floats=floats,
    )


def _halved(network: Any, spec: TorchModel, device: str) -> Any:
    """Halves the weights, if the entry says so; the dtype they have then, else None."""
    if spec.precision == "full":
        return None
    floats = half_precision(device)
    network.to(floats)
    return floats


def _instantiate(path: Path, spec: TorchModel) -> Any:
    import torch

    package, _, name = str(spec.module).rpartition(".")
    where = f"the network class `module: {spec.module}` of {path}"
    network_class = load_class(package, name, where)
    try:
        network = network_class(**spec.module_args)
    except Exception as error:
        raise LoadError(
            f"{where} cannot be made with `module_args` {spec.module_args}: {own_words(error)}"
        ) from error
    if not isinstance(network, torch.nn.Module):
        raise LoadError(f"{where} makes a {type(network).__name__}, not a torch.nn.Module")
    return network


def _tensor_bytes(values: Iterable[Any]) -> int:
    return sum(value.nbytes for value in values if hasattr(value, "nbytes"))


def _has_halves(values: Iterable[Any]) -> bool:
    import torch

    halves = (torch.float16, torch.bfloat16)
    return any(isinstance(v, torch.Tensor) and v.dtype in halves for v in values)
