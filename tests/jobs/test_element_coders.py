"""Beam asks the coder of what goes from step to step for its size: pickling it would copy it."""

import pytest

from pipeline.batch.batch import Batch
from pipeline.batch.block import Block
from pipeline.runner.coders import FormCoder
from tests.jobs.test_dataflow_graph import made_pipeline
from tests.support.jobs import record


@pytest.fixture
def pickled(monkeypatch):
    """The kinds of what is pickled from now on."""
    kinds = []

    def reduced(value, protocol):
        kinds.append(type(value))
        return object.__reduce_ex__(value, protocol)

    for kind in (Batch, Block):
        monkeypatch.setattr(kind, "__reduce_ex__", reduced)
    return kinds


def test_batch_job_pickles_no_block_and_no_batch(job, pickled):
    job.write_input(*map(record, range(20)), b"broken")
    assert job.run() == 0
    assert (len(job.predictions()), len(job.dead_letters())) == (20, 1)
    assert pickled == []


class Inputs:
    """Visits a graph: what goes into the steps that say that they take blocks or batches."""

    def __init__(self):
        self.coders = {}

    def visit_transform(self, step):
        fn = getattr(step.transform, "fn", None)
        hints = fn and fn.get_type_hints().input_types
        if hints and hints[0] and hints[0][0] in (Batch, Block):
            from apache_beam.coders import registry

            self.coders[step.full_label] = registry.get_coder(step.inputs[0].element_type)

    def visit_value(self, value, producer):
        pass

    def enter_composite_transform(self, step):
        pass

    leave_composite_transform = enter_composite_transform


def test_stream_moves_blocks_and_batches_by_their_form(tmp_path_factory, gcs):
    seen = Inputs()
    made_pipeline(tmp_path_factory, gcs).visit(seen)
    assert len(seen.coders) > 4
    assert {label: type(coder) for label, coder in seen.coders.items()} == dict.fromkeys(
        seen.coders, FormCoder
    )
