"""Ensembles of hub modules through `main.main`: text in, vectors out, and a refresh of them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support import models
from tests.support.hub_server import PAGE, Answer, Hub, archive, embedded, save_embedding
from tests.support.images import encoded
from tests.support.jobs import Job

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDS = "/google/words/1"
NET = "/models/someone/net/tensorFlow2/small/2"
TEXTS = ("good film", "bad film", "film film film", "")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Has an embedding, and behind a redirect, as Kaggle does, a network on the vectors."""
    folder = tmp_path_factory.mktemp("hub")
    net = models.save_function(
        folder / "net",
        lambda vectors, weights: {"scores": vectors @ weights},
        {"vectors": ("float32", [None, 3])},
        weights=np.eye(3, 2, dtype="float32"),
    )
    server = Hub()
    server.put(WORDS, archive(save_embedding(folder / "words")))
    stored = server.put("/storage/net.tar.gz", archive(net))
    server.put(NET, Answer(b"", status=302, headers={"Location": stored}))
    yield server
    server.close()


@pytest.fixture
def job(tmp_path, tmp_path_factory, hub, monkeypatch):
    """Texts through both models, on a machine where nothing was fetched before."""
    hub.requests.clear()
    machine = tmp_path_factory.mktemp("machine")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(machine / "tfhub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "cache"))
    job = Job(tmp_path, tmp_path)
    job.spec = {
        "name": "texts",
        "record": {"id": "id", "fields": {"text": {"dtype": "string"}}},
        "models": [
            {
                "name": "words",
                "framework": "tensorflow",
                "uri": hub.base + WORDS,
                "inputs": {"sentences": "text"},
                "outputs": {"output_0": "vector"},
            },
            {
                "name": "net",
                "framework": "tensorflow",
                "uri": hub.base + NET,
                "inputs": {"vectors": "vector"},
                "outputs": {"scores": "scores"},
            },
        ],
        "output": ["vector", "scores"],
    }
    job.write_input(*({"id": f"r{i}", "text": text} for i, text in enumerate(TEXTS)))
    return job


def check_predictions(job):
    found = sorted(job.predictions(), key=lambda line: line["id"])
    vectors = [embedded(text) for text in TEXTS]
    predicted = [line["predictions"] for line in found]
    np.testing.assert_allclose([one["vector"] for one in predicted], vectors)
    np.testing.assert_allclose([one["scores"] for one in predicted], [v[:2] for v in vectors])
    assert [line["release"]["models"] for line in found] == [{"net": "2", "words": "1"}] * 4
    assert not job.dead_letters()


def test_texts_become_vectors_and_other_machines_ask_the_hub_no_more(job, hub, tmp_path):
    modules = f"--model_cache_dir={tmp_path}/modules"
    assert job.run(modules) == 0
    check_predictions(job)
    assert hub.requests == {WORDS: 1, NET: 1, "/storage/net.tar.gz": 1}
    # Another machine, with a worker process: only the folder of modules is the same.
    away = tmp_path / "away"
    away.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "TFHUB_CACHE_DIR"}
    worker = ("--direct_num_workers=1", "--direct_running_mode=multi_processing")
    done = subprocess.run(
        [sys.executable, "main.py", *job.arguments(modules, "--overwrite=true", *worker)],
        env={**environment, "TMPDIR": str(away), "XDG_CACHE_HOME": str(away)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    check_predictions(job)
    assert hub.requests.total() == 3
    assert not list(away.rglob("hub"))


def test_key_in_a_url_serves_and_is_shown_nowhere(job, hub, tmp_path, capfd):
    for model in job.spec["models"]:
        model["uri"] += "?key=s3cr3t/9"
    asked_for = f"--report_path={tmp_path}/report.html", f"--graph_path={tmp_path}/graph.svg"
    job.write_input({"id": "bad", "text": 3}, name="b.jsonl")
    assert job.run("--dry_run=true") == 0
    assert job.run(*asked_for) == 0
    (dead,) = job.dead_letters()
    assert dead["id"] == "bad"
    lines = job.predictions()
    assert [line["release"]["models"] for line in lines] == [{"net": "2", "words": "1"}] * 4
    hub.put("/gone/1", Answer(status=404))
    job.spec["models"][1]["uri"] = f"{hub.base}/gone/1?key=s3cr3t/9"
    assert job.run("--overwrite=true") == 2
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".yaml"]
    assert len(files) >= 5
    said = capfd.readouterr()
    assert f"model 'net': {hub.base}/gone/1?...: the hub answers HTTP 404" in said.err
    assert "s3cr3t" not in said.out + said.err
    assert not [file for file in files if b"s3cr3t" in file.read_bytes()]


def test_dry_run_shows_what_a_module_takes_and_gives(job, hub, capsys):
    assert job.run("--dry_run=true") == 0
    shown = capsys.readouterr().out
    assert f", {hub.base}{WORDS}\n    in  sentences: string\n    out output_0: float32[3]" in shown


def test_all_bad_modules_are_refused_at_launch_with_model_and_url(job, hub, capsys):
    page = hub.put("/page/1", Answer(PAGE, headers={"Content-Type": "text/html"}))
    job.spec["models"][0]["uri"] = page
    job.spec["models"][1]["uri"] = f"{hub.base}/gone/1"
    assert job.run() == 2
    said = capsys.readouterr().err
    assert f"model 'words': {page}: found a web page (text/html), expected the tar archi" in said
    assert f"model 'net': {hub.base}/gone/1: the hub answers HTTP 404 (Not Found), expe" in said
    assert "Traceback" not in said


def test_only_tensorflow_models_come_from_a_hub(job, hub, capsys):
    job.spec["models"][1]["framework"] = "onnx"
    assert job.run() == 2
    assert (
        f"uri: found the web address '{hub.base}{NET}', expected a local" in capsys.readouterr().err
    )
    assert not hub.requests


def test_folder_for_modules_that_cannot_be_written_is_refused_first(job, hub, tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")
    assert job.run(f"--model_cache_dir={tmp_path}/file/modules") == 2
    assert "--model_cache_dir: output" in capsys.readouterr().err
    assert not hub.requests


def test_mobilenet_of_the_images_example_gives_a_folder_of_pictures_labels(job, hub, tmp_path):
    """Its ensemble file as it is, with another hub; the network here tells colours."""
    path = "/google/imagenet/mobilenet_v2_100_224/classification/5"
    network = models.save_function(
        tmp_path / "mobilenet",
        lambda inputs, weights: {"logits": 9 * inputs[:, 112, 112] @ weights},
        {"inputs": ("float32", [None, 224, 224, 3])},
        weights=np.eye(3, 4, k=1, dtype="float32"),
    )
    hub.put(path, archive(network))
    example = (EXAMPLES / "images" / "mobilenet.yaml").read_text()
    assert f"https://tfhub.dev{path}" in example
    job.spec = yaml.safe_load(example.replace("https://tfhub.dev", hub.base))
    (tmp_path / "ImageNetLabels.txt").write_text("background\nred\ngreen\nblue\n")
    for file in job.input.iterdir():
        file.unlink()
    for place, name in enumerate(("red", "green", "blue")):
        pixels = np.zeros((90, 120, 3), np.uint8)
        pixels[..., place] = 250
        (job.input / f"{name}.jpg").write_bytes(encoded(pixels, "JPEG", quality=95))
    assert job.run() == 0
    assert not job.dead_letters()
    found = {line["id"].rpartition("/")[2]: line["predictions"] for line in job.predictions()}
    assert len(found) == 3
    for name, made in found.items():
        assert f"{made['label'][0]}.jpg" == name
        assert len(made["label"]) == 3
        assert made["confidence"][0] > 0.9
