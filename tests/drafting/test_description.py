"""What models say of themselves without an entry in an ensemble file, the same way for all."""

import pytest

from pipeline.drafting.description import description_of
from pipeline.errors import LoadError, UntrustedArtifactError
from pipeline.spec.model import unbound
from tests.backends.cases import CASES
from tests.support import models

DESCRIBED = [
    case
    for case in CASES
    if case.framework != "python" and not case.name.startswith("torch-state-dict")
]


@pytest.mark.parametrize("case", DESCRIBED, ids=str)
def test_tensors_are_those_that_an_entry_binds_with_what_is_known_of_them(case, tmp_path):
    described = description_of(case.framework, case.build(tmp_path, 1.0), trusted=True)
    tensors = {t.name: t for t in (*(described.inputs or ()), *(described.outputs or ()))}
    required = {t.name for t in described.inputs or ()} - described.optional
    assert required == set(case.inputs)
    assert set(case.outputs) <= tensors.keys()
    for name, dtype in case.dtypes.items():
        assert tensors[name].dtype == dtype
    for name, shape in case.row_shapes.items():
        assert tensors[name].row_shape == shape
    assert case.extra.items() <= {**described.keys, **case.extra}.items()
    assert described.keys.get("task") == case.extra.get("task")


def test_key_trusted_is_told_where_it_is_needed_and_only_there(tmp_path):
    skops, pickle = models.sklearn_skops(tmp_path), models.sklearn_pickle(tmp_path)
    assert "trusted" not in description_of("sklearn", skops, trusted=True).keys
    assert description_of("sklearn", pickle, trusted=True).keys == {"trusted": True}
    with pytest.raises(UntrustedArtifactError, match="would run code"):
        description_of("sklearn", pickle)


def test_other_frameworks_have_nothing_to_trust(tmp_path):
    import torch

    path = tmp_path / "net.pt"
    torch.save(torch.nn.Linear(1, 1), path)  # a pickled module
    with pytest.raises((UntrustedArtifactError, LoadError)):
        description_of("torch", path, trusted=True)


def test_optional_inputs_are_told(tmp_path):
    described = description_of("transformers", models.bert_classifier(tmp_path))
    assert described.optional == {"text_pair"}
    assert [tensor.name for tensor in described.inputs] == ["text", "text_pair"]


def saved_as(architecture, folder):
    config = models.bert_embedder(folder) / "config.json"
    config.write_text(config.read_text().replace('"BertModel"', architecture))
    return folder


def test_task_is_chosen_by_the_architecture_and_told(tmp_path):
    described = description_of("transformers", models.bert_embedder(tmp_path))
    assert described.keys == {"task": "feature-extraction"}
    assert described.key_notes == {"task": "by the architecture in config.json, BertModel"}


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        ('"BertForNextSentencePrediction"', "found the architecture BertForNextSentencePred"),
        ("", "found the architecture none"),
    ],
)
def test_architecture_that_no_task_fits_is_refused_with_the_tasks(architecture, told, tmp_path):
    """As embeddings, it would work, and be something else than it was made for."""
    path = saved_as(architecture, tmp_path)
    with pytest.raises(LoadError, match=rf"{told}.*expected one of .*text-classification, "):
        description_of("transformers", path)


def test_folder_that_names_no_architecture_is_refused_with_the_tasks(tmp_path):
    path = models.bert_embedder(tmp_path)
    (path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(LoadError, match="names no architecture, so `task` is not known"):
        description_of("transformers", path)


def test_output_with_a_name_is_not_told_by_its_position_as_well(tmp_path):
    described = description_of("tensorflow", models.keras_file(tmp_path))
    assert [tensor.name for tensor in described.outputs] == ["y"]


def test_no_entry_is_unbound_but_those_made_to_be():
    assert unbound("onnx", "x").is_unbound
    assert not CASES[0].spec().is_unbound
    with pytest.raises(ValueError, match="no entry has the framework 'caffe'"):
        unbound("caffe", "x")
