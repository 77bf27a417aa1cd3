import pytest

from tests.support import models
from tests.support.mlflow_folders import written


def test_job_starts_at_the_newest_version_of_an_mlflow_registry_that_can_be_read(job, capsys):
    registry = job.folder / "models/net"
    registry.mkdir(parents=True)
    for version, scale in (("1", 1.0), ("9", 2.0)):
        models.onnx_file(written(registry / version, "onnx"), scale)
    written(registry / "10", "pyfunc")
    entry = {"name": "net", "framework": "onnx", "uri": "models/net/1", "watch": "models/net/*"}
    job.spec["models"] = [entry | {"inputs": {"x": "x"}, "outputs": {"y": "y"}}]
    job.spec |= {"combine": [], "output": ["y"]}
    job.write_input({"id": "a", "x": [1, 0, 0, 0]})
    assert job.run() == 0
    (prediction,) = job.predictions()
    assert prediction["release"]["models"] == {"net": "9"}
    weights, bias = models.affine_weights(2.0)
    assert prediction["predictions"]["y"] == pytest.approx(weights[0] + bias, rel=1e-5)
    assert "flavours python_function only" in capsys.readouterr().err
