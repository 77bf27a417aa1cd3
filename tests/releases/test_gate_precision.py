"""Halved models before the gate: their examples decide whether what they lose is too much."""

import json

import numpy as np
import pytest

from tests.support import models
from tests.support.gating import Bench, Ensemble

INPUT = [1.0, 2.0, 3.0, 4.0]


class TorchEnsemble(Ensemble):
    """The same with real PyTorch networks, all of one precision."""

    precision = "half"

    def put(self, model, number):
        models.torchscript(self.path(model, number), scale=float(number))

    def put_cancelling(self, model, number):
        """One that returns what it gets, unless it is halved."""
        import torch

        from tests.support.networks import Cancels

        script = torch.jit.script(Cancels())
        models.save_torchscript(script, self.path(model, number) / "model.pt")

    def spec(self):
        spec = super().spec()
        for entry in spec["models"]:
            outputs = {"output_0": entry["outputs"]["y"]}
            entry |= {"framework": "torch", "inputs": {"input": "x"}, "outputs": outputs}
            entry["precision"] = self.precision
        spec["combine"] = []
        return spec


class WholeEnsemble(TorchEnsemble):
    precision = "full"


@pytest.fixture(params=[TorchEnsemble, WholeEnsemble])
def bench(request, tmp_path):
    ensemble = request.param(tmp_path)
    made = Bench(ensemble, load=ensemble.managers.loader)
    yield made
    made.close()


def proposed(bench, expected, **example):
    """The verdict on version 2 of clf, with one golden example."""
    text = json.dumps({"inputs": {"input": INPUT}, "outputs": {"output_0": expected}, **example})
    (bench.ensemble.path("clf", 2) / "golden.jsonl").write_text(text)
    (event,) = bench.propose(bench.ensemble.candidate(clf=2))
    return event


def exact():
    weights, bias = models.affine_weights(2.0)
    return (np.array(INPUT, "float32") @ weights + bias).tolist()


def test_what_half_precision_always_loses_is_forgiven_by_default(bench):
    bench.ensemble.put("clf", 2)
    event = proposed(bench, exact())
    assert (event.outcome, event.details.get("examples")) == ("accepted", 1), event.reason


def test_tolerance_of_an_example_goes_first(bench):
    bench.ensemble.put("clf", 2)
    event = proposed(bench, exact(), tolerance=1e-5)
    halved = bench.ensemble.precision == "half"
    assert event.outcome == ("rejected" if halved else "accepted")
    assert not halved or "tolerance 1e-05" in event.reason


def test_model_that_needs_more_than_half_precision_is_rejected(bench):
    bench.ensemble.put_cancelling("clf", 2)
    event = proposed(bench, INPUT)
    halved = bench.ensemble.precision == "half"
    assert event.outcome == ("rejected" if halved else "accepted")
    if halved:
        assert "output 'output_0' differs by 4 at most" in event.reason
        assert event.reason.endswith("tolerance 0.02")
