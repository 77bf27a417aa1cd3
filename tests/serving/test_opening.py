"""Servables are opened with one kind of error, and freed whatever closing them raises."""

import gc
import weakref
from types import SimpleNamespace

import pytest

from pipeline.backends import registry
from pipeline.backends.base import LoadContext
from pipeline.errors import LoadError
from pipeline.serving.opening import Opening, free
from pipeline.spec.model import OnnxModel
from pipeline.testing import FakeServable
from tests.support.steps import Panic


class Stubborn(FakeServable):
    def close(self):
        raise RuntimeError("does not close")


def test_error_of_closing_one_is_logged_and_the_others_are_closed(caplog):
    other = FakeServable(dict)
    free([Stubborn(dict), other])
    assert other.closed
    assert "does not close" in caplog.text


def test_what_hangs_together_in_a_cycle_is_freed_at_once():
    servable = FakeServable(dict)
    servable.itself = servable
    freed = weakref.ref(servable)
    servables = [servable]
    del servable
    gc.disable()
    try:
        free(servables)
    finally:
        gc.enable()
    assert freed() is None


@pytest.mark.parametrize(
    "raised", [UnicodeDecodeError("utf-8", b"\xee", 0, 1, "end"), KeyError("x"), Panic("out of it")]
)
def test_whatever_a_backend_raises_for_a_file_is_a_load_error(raised, tmp_path, monkeypatch):
    def load(path, spec, context):
        raise raised

    monkeypatch.setattr(registry, "backend", lambda framework: SimpleNamespace(load=load))
    entry = {"name": "m", "framework": "onnx", "uri": "m", "inputs": {"x": "x"}}
    opening = Opening(tmp_path, OnnxModel(**entry, outputs={"y": "y"}), LoadContext("cpu"))
    with pytest.raises(LoadError, match=f"^{tmp_path} cannot be loaded as a model of .* 'onnx'"):
        opening()
