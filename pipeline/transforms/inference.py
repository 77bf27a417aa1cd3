"""Inference: one Beam RunInference step for each model, over ready-made batches.

RunInference gives each model a step of its own in the job's graph and its standard metrics. Its own
way of updating models is not used: it stops every thread for the load, and after a failed load it
labels the old model's results with the new name. The batch says which release computes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, RunInference

from pipeline.backends.base import Servable
from pipeline.batch.batch import Batch
from pipeline.batch.metrics import CUT_TEXTS, NAMESPACE, ROW_DIFFERENCES, ROW_SAMPLES
from pipeline.serving.release_manager import ManagerHandle, ReleaseManager
from pipeline.serving.step.model_step import ModelStep
from pipeline.serving.step.samples import process_samples
from pipeline.spec.model import ModelSpec
from pipeline.spec.row_limits import RowLimits


class EnsembleModelHandler(ModelHandler[Batch, Batch, ReleaseManager]):  # type: ignore[misc]
    """Beam's handler for one model of the ensemble.

    "The model" that Beam holds is the process's ReleaseManager, in which the batch's release finds
    the servable. A batch is the sequence that RunInference counts: its length is its rows.

    Args:
      handle: this process's models.
      spec: the model's entry in the ensemble file.
      limits: of the job's calls.
      max_model_faults, faults_raise, sparse: see ModelStep.
      max_differences: see RowSamples.
    """

    def __init__(
        self,
        handle: ManagerHandle,
        spec: ModelSpec,
        *,
        limits: RowLimits,
        max_model_faults: int,
        faults_raise: bool = True,
        max_differences: int = 0,
        sparse: Collection[str] | None = None,
    ) -> None:
        super().__init__()
        self._handle = handle
        self._spec = spec
        self._max_differences = max_differences
        self._step = ModelStep(
            spec,
            call_rows=limits.call_rows,
            quick_rows=limits.quick_rows,
            max_model_faults=max_model_faults,
            faults_raise=faults_raise,
            sparse=sparse,
        )

    def load_model(self) -> ReleaseManager:
        """The process's manager; the models themselves are loaded when a release asks for them."""
        return self._handle.get()

    def run_inference(
        self, batch: Batch, model: ReleaseManager, inference_args: object = None
    ) -> Iterable[Batch]:
        """Adds the model's output columns to one batch."""
        if not len(batch):
            return [batch]
        assert batch.release is not None, "AssignRelease runs before inference"
        with model.use(batch.release, self._spec.name) as servable:
            done = self._step.run(batch, servable)
            if self._step.cut_texts:
                model_name = self._spec.name
                Metrics.counter(NAMESPACE, f"{CUT_TEXTS}/{model_name}").inc(self._step.cut_texts)
            self._sample(done, servable)
        return [done]

    def _sample(self, done: Batch, servable: Servable) -> None:
        samples = process_samples(self._handle.job_key, self._spec, self._max_differences)
        same = samples.look(done, servable)
        if same:
            Metrics.counter(NAMESPACE, ROW_SAMPLES).inc(len(same))
            Metrics.counter(NAMESPACE, ROW_DIFFERENCES).inc(same.count(False))

    def get_num_bytes(self, batch: Batch) -> int:
        """Bytes of the batch's columns (Beam's default would pickle it to find out)."""
        return batch.nbytes


def run_inference(handler: EnsembleModelHandler) -> RunInference:
    """The RunInference step for a handler: no batching of its own, the batches come ready-made."""
    return RunInference(handler.with_no_batching()).with_output_types(Batch)
