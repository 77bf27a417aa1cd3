"""Hugging Face transformers: a folder with configuration, safetensors, and tokenizer or processor.

Only the folder is read. Nothing is fetched from the Hub, code that comes with a model is never run,
and weights that are not safetensors (pickles) are refused. Inputs and outputs depend on the task:
:mod:`pipeline.backends.transformers.tasks.table`.

API: https://huggingface.co/docs/transformers/main_classes/model
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.backends.base import CUT_TEXTS, LoadContext, Servable
from pipeline.backends.failures import computing, loading, needs_package
from pipeline.backends.tensor_names import signature_of
from pipeline.backends.torch.device import TorchDevice, choose_device
from pipeline.backends.torch.runtime import half_precision, limit_forks, limit_threads
from pipeline.backends.torch.thread_choice import ThreadChoice
from pipeline.backends.transformers.compiled import check_compiler, keep_programs
from pipeline.backends.transformers.files import check_folder
from pipeline.backends.transformers.tasks.table import TASKS, TaskKind
from pipeline.backends.transformers.tasks.task import Network, Task
from pipeline.batch.columns import Array, Column
from pipeline.errors import LoadError, UntrustedArtifactError
from pipeline.spec.model import ModelSpec, TransformersModel

_SHOWN, _SHOWN_TYPES = 4, 16


class TransformersServable(Servable):
    """A model in inference mode, with its tokenizer or processor."""

    def __init__(
        self,
        task: Task,
        network: Network,
        path: Path,
        spec: TransformersModel,
        device: TorchDevice,
        threads: int,
    ) -> None:
        self.signature = signature_of(path, spec, task.inputs, task.outputs, task.optional)
        self.device = device.name
        self.calls_at_once = device.calls
        self.size_bytes = sum(tensor.nbytes for tensor in network.model.state_dict().values())
        self._task = task
        self._network = network
        self._device = device
        self._granted = threads
        # A program is made for a number of threads.
        self._threads = None if spec.compile else ThreadChoice(threads)
        self._outputs = list(spec.outputs)

    @computing
    def predict(self, inputs: Mapping[str, Array]) -> dict[str, Column]:
        """Prepares the rows, runs the model, and computes the outputs that the spec names."""
        limit_threads(self._granted)
        prepared = self._task.prepare(inputs)
        rows = max(len(array) for array in inputs.values())  # of constants, too
        return self._device.run(partial(self._computed, prepared, rows))

    def _computed(self, prepared: Any, rows: int) -> dict[str, Column]:
        fixed = nullcontext(self._granted)
        with fixed if self._threads is None else self._threads.for_call(rows) as threads:
            limit_threads(threads)
            made = self._task.compute(self._network, prepared, self._outputs)
            outputs = {name: made[name] for name in self._outputs}
            if self._task.cut is not None:
                outputs[CUT_TEXTS] = self._task.cut(prepared)
            return outputs


class TransformersBackend:
    """Loads folders as `save_pretrained` writes them."""

    def start(self) -> None:
        """See Backend."""
        # Tokens are made in the calling thread: Rust's threads would be one for each core.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        # Programs are compiled in this process, not by others that would stay.
        os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
        with needs_package("torch"):
            import torch  # noqa: F401
        with needs_package("transformers", extra="transformers"):
            import transformers  # noqa: F401

    def load(self, path: Path, spec: ModelSpec, context: LoadContext) -> TransformersServable:
        """Loads a model and its tokenizer or image processor from a folder.

        Weights are float32 on a CPU; on a GPU they keep the dtype in which they are stored. With
        ``precision: half`` they are in half precision on both.
        """
        assert isinstance(spec, TransformersModel)
        self.start()
        import transformers

        limit_forks(context.intra_op_threads)
        check_folder(path)
        transformers.utils.logging.disable_progress_bar()
        device = choose_device(context.device)
        if spec.compile:
            keep_programs(context.program_folder)
            check_compiler(path, device.name)
        with loading(path, "a transformers model"), _refused_code(path):
            kind = _kind_of(path, spec)
            network = Network(_read_model(path, spec, kind, device.name), device)
            task = kind.open(path, spec, network)
            if task.try_out is not None:
                device.run(partial(task.try_out, network))
            if spec.compile:
                _compile(path, task, network, device, context.intra_op_threads)
        device.settle()
        return TransformersServable(task, network, path, spec, device, context.intra_op_threads)


@contextmanager
def _refused_code(path: Path) -> Iterator[None]:
    """Says in other words that transformers would run code that a folder brings.

    Raises:
      UntrustedArtifactError: instead of the advice to trust it.
    """
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise UntrustedArtifactError(
            f"{path} brings code for its model, tokenizer or processor (`auto_map`), which is "
            "never run; expected those that transformers itself has"
        ) from error


def _compile(path: Path, task: Task, network: Network, device: TorchDevice, threads: int) -> None:
    """Compiles the model as it will be called."""
    assert task.examples is not None  # the entry has the key for such tasks only
    compile_network = partial(network.compile, path, task.examples)

    def make() -> None:
        limit_threads(threads)  # a program is for the number that its thread has
        compile_network()

    device.run(make)


def _kind_of(path: Path, spec: TransformersModel) -> TaskKind:
    """How the task reads the model of a folder."""
    import transformers

    found = transformers.AutoConfig.from_pretrained(
        path, local_files_only=True, trust_remote_code=False
    ).model_type
    kind = TASKS[spec.task].of(found)
    if kind is None:
        known = TASKS[spec.task].known_types
        more = ", ..." if len(known) > _SHOWN_TYPES else ""
        raise LoadError(
            f"{path / 'config.json'} has the model_type '{found}', expected for `task: "
            f"{spec.task}` {', '.join(known[:_SHOWN_TYPES])}{more}"
        )
    return kind


def _read_model(path: Path, spec: TransformersModel, kind: TaskKind, device: str) -> Any:
    import transformers

    auto_class = getattr(transformers, kind.auto_class)
    full = "float32" if device == "cpu" else "auto"
    model, found = auto_class.from_pretrained(
        path,
        dtype=half_precision(device) if spec.precision == "half" else full,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
        output_loading_info=True,
        return_dict=True,  # results by name, whatever the folder says
    )
    for name, held, needed in sorted(found["mismatched_keys"]):
        if name.startswith(kind.unused):
            continue
        raise LoadError(
            f"{path} has '{name}' of the shape {list(held)}, expected {list(needed)} by "
            "config.json: a size there is wrong (of a head, the number of classes in `id2label`), "
            "or the files are of two models"
        )
    # transformers makes up random weights for those that the file lacks.
    missing = {key for key in found["missing_keys"] if not key.startswith(kind.unused)}
    if missing:
        shown = ", ".join(sorted(missing)[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise LoadError(
            f"{path} lacks weights that {type(model).__name__} needs for `task: {spec.task}`: "
            f"{shown}; it was saved as {', '.join(model.config.architectures or ['another model'])}"
        )
    return model.to(device).eval()
