"""The command init over models that are not to be believed, or cannot be read."""

import re

import pytest

from tests.commands.inits import bound, init
from tests.support import models


def test_process_that_may_die_of_a_model_finds_what_this_one_finds(run, folder):
    models.onnx_file(folder / "models/net")
    models.save_estimator(models.classifier(), folder / "models/species.joblib")
    models.lightgbm_text(folder / "models/trees")
    models.bert_classifier(folder / "models/bert")
    (folder / "models/broken.pt").write_bytes(b"no archive")
    here = init(run, "models", "--trusted")[1]
    apart = init(run, "models", "--trusted", "--overwrite", limits=())[1]
    assert apart == here


def test_model_that_kills_who_reads_it_is_told_and_costs_the_others_nothing(run, folder):
    file = models.lightgbm_text(folder / "models/trees")
    text = file.read_text()
    assert "num_tree_per_iteration=1" in text
    file.write_text(text.replace("num_tree_per_iteration=1", "num_tree_per_iteration=0"))
    models.onnx_file(folder / "models/good")
    data, text, done = init(run, "models", limits=())
    said = " ".join(text.replace("#", " ").split())
    assert "its tensors are not known. models/trees" in said
    assert "was ended by SIGFPE" in said
    assert bound(data, "good") == {"x": "features"}
    assert "not known: trees; " in done.out


def test_model_that_never_ends_is_told(run, folder):
    file = models.lightgbm_text(folder / "models/trees")
    # Each node is its own child. The file also says how many bytes a tree has, so none is lost.
    text = re.sub(
        r"(?<=_child=).*", lambda match: re.sub(r"[-\d]", "0", match[0]), file.read_text()
    )
    file.write_text(text)
    _, text, _ = init(run, "models", limits=("--trial_secs=5",))
    said = " ".join(text.replace("#", " ").split())
    assert "took more than" in said
    assert "its tensors are not known. models/trees" in said


@pytest.mark.parametrize(
    "config", ["{", '{"model_type": "bert", "architectures": ["BertForNextSentencePrediction"]}']
)
def test_entry_of_an_unknown_task_is_refused_until_somebody_chooses_it(run, folder, config):
    """As embeddings, it would work, and be something else than it was made for."""
    (models.bert_classifier(folder / "models/bert") / "config.json").write_text(config)
    data, text, _ = init(run, "models")
    assert "task" not in data["models"][0]
    assert "fill in: its tensors are not known." in text
    assert "until it has the key `task`" in " ".join(text.replace("#", " ").split())
    checked = run("check", "ensemble.yaml", "--trial_secs=0")
    assert checked.status == 2
    assert "key 'task' is missing" in checked.err
    assert "expected one of feature-extraction, sentence-embedding" in checked.err


def test_pickle_is_not_loaded_unless_trusted(run, folder):
    import pickle

    class Trap:
        def __reduce__(self):
            return open, ("sprung", "w")

    (folder / "models").mkdir()
    (folder / "models/clf.pkl").write_bytes(pickle.dumps(Trap()))
    data, text, done = init(run, "models")
    assert not (folder / "sprung").exists()
    assert data["models"][0]["uri"] == "models/clf.pkl"
    assert "trusted" not in data["models"][0]
    said = " ".join(text.replace("#", " ").split())
    assert "loading models/clf.pkl would run code that it carries" in said
    assert "with --trusted, `init` does so and reads it" in said
    assert "not known: clf; comments in the file say why" in done.out
    run("init", "models", "--trusted", "--overwrite")
    assert (folder / "sprung").exists()


def test_network_that_writes_files_is_not_loaded_unless_trusted(run, folder):
    marker = folder / "marker"
    models.torchscript_that_writes(folder / "models/net/1", marker)
    _, text, _ = init(run, "models")
    said = " ".join(text.replace("#", " ").split())
    assert "with --trusted, `init` does so and reads it" in said
    assert not marker.exists()
    data, _, _ = init(run, "models", "--trusted", "--overwrite")
    assert data["models"][0]["trusted"] is True
    assert marker.exists()


def test_trusted_pickle_is_read_and_the_entry_says_trusted(run, folder):
    models.save_estimator(models.classifier(), folder / "models/species.joblib")
    data, _, _ = init(run, "models", "--trusted")
    assert data["models"][0]["trusted"] is True
    assert data["models"][0]["outputs"] == {"predict_proba": "species_proba"}
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("net.onnx", b"garbage", "cannot be loaded as an ONNX graph"),
        ("net.pt", b"", "net.pt is empty"),
        ("net.keras", b"x", "is not the zip archive that a .keras file is"),
    ],
)
def test_model_that_cannot_be_read_has_an_entry_with_the_reason(run, folder, name, content, reason):
    models.onnx_file(folder / "models/good")
    (folder / "models" / name).write_bytes(content)
    _, text, done = init(run, "models")
    assert f"uri: models/{name}" in text
    assert "fill in: its tensors are not known." in text
    assert reason in " ".join(text.replace("#", " ").split())
    assert "2 models, 1 guess, " in done.out or "2 models, 2 guesses, " in done.out
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 2


def test_model_that_reads_nothing_of_a_record_has_an_entry_with_the_reason(run, folder):
    """Such graphs only make windows, filters or constants."""
    models.save_onnx(
        folder / "models/window.onnx",
        [("Identity", ["size"], ["y"], {})],
        {"size": ("int64", [])},
        {"y": ("int64", [])},
    )
    for others in (0, 1):
        if others:
            models.onnx_file(folder / "models/net")
        data, text, _ = init(run, "models", "--overwrite")
        assert len(data["models"]) == 1 + others
        assert "no input with a row for each record" in " ".join(text.replace("#", " ").split())


def test_weights_without_a_network_say_that_a_class_is_needed(run, folder):
    models.torch_state_dict(folder / "models/net")
    _, text, _ = init(run, "models")
    assert "name the network's class with `module: package.Class`" in " ".join(
        text.replace("#", " ").split()
    )
