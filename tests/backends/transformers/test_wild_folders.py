"""Folders as people have them: older files, odd keys, parts that are missing or of something else.

Each gives what transformers gives for its rows one by one, or is refused in plain words.
"""

import json
import sys

import numpy as np
import pytest

from pipeline.backends.transformers.tasks.table import TASKS
from pipeline.backends.transformers.tasks.texts import read_tokenizer
from pipeline.errors import LoadError, UntrustedArtifactError
from tests.support import models, picture_models, sound_models, text_models
from tests.support.model_folders import change, opened

TEXTS = np.array(["good film", "a very bad red circle", "bad"], dtype=object)
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 20, 14, 3), dtype="uint8")
NUMBERS = {str(i): name for i, name in enumerate("abc")}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"


@pytest.mark.parametrize("first", [["0", "2", "4"], ["1", "2", "3"]], ids=["gaps", "from 1"])
@pytest.mark.parametrize(
    ("build", "task", "output"),
    [
        (models.bert_classifier, "text-classification", "label"),
        (models.vit_classifier, "image-classification", "label"),
        (picture_models.yolos, "object-detection", "labels"),
        (picture_models.segformer, "image-segmentation", "labels"),
    ],
)
def test_number_without_a_name_is_refused(build, task, output, first, copy):
    path = copy(build)
    count = len(json.loads((path / "config.json").read_text())["id2label"])
    change(path / "config.json", id2label=dict(zip([*first, "9"], "abcd"[:count], strict=False)))
    with pytest.raises(LoadError, match=rf"has {count} classes in `id2label`, and none with the"):
        opened(path, task, output)


@pytest.mark.parametrize("names", [["a", "b", "c"], {"a": 0, "b": 1, "c": 2}, "a, b, c"])
def test_names_that_are_not_by_number_are_refused(names, copy):
    path = change(copy(models.bert_classifier) / "config.json", id2label=names)
    with pytest.raises(LoadError, match=r"`id2label` is .*expected names by number: "):
        opened(path)


def test_names_may_be_numbers_in_the_file(copy):
    path = change(copy(models.bert_classifier) / "config.json", id2label={"0": 5, "1": 6, "2": 7})
    assert set(opened(path, output="label").predict({"text": TEXTS})["label"]) <= {"5", "6", "7"}


def test_head_of_another_size_is_refused_with_both_sizes(copy):
    path = change(copy(models.bert_classifier) / "config.json", id2label={**NUMBERS, "3": "d"})
    with pytest.raises(LoadError, match=r"'classifier.bias' of the shape \[3\], expected \[4\]"):
        opened(path)


def test_pooler_of_another_size_is_no_reason_where_nothing_uses_it(copy):
    from safetensors.torch import load_file, save_file

    file = copy(models.bert_embedder) / "model.safetensors"
    expected = opened(file.parent, "feature-extraction", "embedding").predict({"text": TEXTS})
    weights = load_file(file)
    weights["pooler.dense.bias"] = weights["embeddings.LayerNorm.bias"].repeat(2)
    save_file(weights, file, {"format": "pt"})
    found = opened(file.parent, "feature-extraction", "embedding").predict({"text": TEXTS})
    np.testing.assert_array_equal(found["embedding"], expected["embedding"])


def test_regression_has_values_and_no_probabilities(copy):
    from transformers import pipeline

    path = change(copy(models.bert_classifier) / "config.json", problem_type="regression")
    found = opened(path).predict({"text": TEXTS})["logits"]
    judge = pipeline("text-classification", str(path), top_k=None, device="cpu")
    expected = [{one["label"]: one["score"] for one in row} for row in judge(TEXTS.tolist())]
    names = judge.model.config.id2label
    np.testing.assert_allclose(
        found, [[row[names[i]] for i in range(3)] for row in expected], rtol=1e-4
    )
    with pytest.raises(LoadError, match="has no output 'probs'; its outputs are logits, label"):
        opened(path, output="probs")


def test_only_class_of_sounds_is_certain_as_in_the_pipeline(tmp_path):
    from transformers import pipeline

    path = sound_models.wav2vec2_classifier(tmp_path, num_labels=1)
    sound = np.random.default_rng(0).normal(0, 0.1, (1, 4000)).astype("float32")
    keys = {"inputs": {"waveform": "w"}, "sampling_rate": 16000}
    found = opened(path, "audio-classification", "probs", **keys).predict({"waveform": sound})
    (expected,) = pipeline("audio-classification", str(path), device="cpu")(sound[0])
    assert found["probs"].tolist() == [[expected["score"]]]


def test_vocabulary_alone_is_a_tokenizer(copy, folders):
    path = copy(models.bert_classifier)
    words = json.loads((path / "tokenizer.json").read_text())["model"]["vocab"]
    (path / "vocab.txt").write_text("\n".join(sorted(words, key=words.get)))
    (path / "tokenizer.json").unlink()
    (path / "tokenizer_config.json").write_text("{}")
    expected = opened(folders(models.bert_classifier)).predict({"text": TEXTS})["logits"]
    np.testing.assert_allclose(opened(path).predict({"text": TEXTS})["logits"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "file", "options"),
    [
        ("T5", "spiece.model", {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}),
        ("XLMRoberta", "sentencepiece.bpe.model", {}),
    ],
)
def test_file_of_sentencepiece_alone_is_a_tokenizer(name, file, options, tmp_path):
    """Its ids are those that sentencepiece itself gives, where the library moves none (T5)."""
    import sentencepiece

    tmp_path.joinpath(file).write_bytes(text_models.sentence_pieces(**options))
    change(tmp_path / "tokenizer_config.json", tokenizer_class=f"{name}Tokenizer")
    change(tmp_path / "config.json", model_type="t5" if name == "T5" else "xlm-roberta")
    tokenizer = read_tokenizer(tmp_path)
    for text in TEXTS:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / file))
        assert tokenizer.tokenize(text) == pieces.encode(text, out_type=str)
        if name == "T5":
            assert tokenizer(text)["input_ids"] == [*pieces.encode(text), 1]


def test_library_for_a_tokenizer_that_cannot_be_imported_is_told_with_the_reason(
    tmp_path, monkeypatch
):
    tmp_path.joinpath("spiece.model").write_bytes(text_models.sentence_pieces())
    change(tmp_path / "tokenizer_config.json", tokenizer_class="T5Tokenizer")
    change(tmp_path / "config.json", model_type="t5")
    monkeypatch.setitem(sys.modules, "sentencepiece.sentencepiece_model_pb2", None)
    monkeypatch.delattr("sentencepiece.sentencepiece_model_pb2", raising=False)
    with pytest.raises(
        LoadError, match=r"package 'sentencepiece' is .*sentencepiece_model_pb2"
    ) as e:
        read_tokenizer(tmp_path)
    assert str(e.value).count("the tokenizer is written for it") == 1


@pytest.mark.parametrize(
    "keys",
    [
        {"torch_dtype": "bfloat16"},
        {"dtype": "float16"},
        {"return_dict": False},
        {"output_hidden_states": True, "output_attentions": True},
        {"use_cache": False, "gradient_checkpointing": True, "transformers_version": "4.6.1"},
        {"auto_map": {"AutoConfig": "own.Config"}, "architectures": None, "_name_or_path": "x/y"},
    ],
    ids=lambda keys: next(iter(keys)),
)
def test_keys_that_change_nothing_change_nothing(keys, copy, folders):
    expected = opened(folders(models.bert_classifier)).predict({"text": TEXTS})["logits"]
    found = opened(change(copy(models.bert_classifier) / "config.json", **keys)).predict(
        {"text": TEXTS}
    )["logits"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq", "compressed-tensors", "zip"])
def test_weights_that_another_library_quantized_are_refused(method, copy):
    path = change(
        copy(models.bert_classifier) / "config.json",
        quantization_config={"quant_method": method, "bits": 4},
    )
    with pytest.raises(LoadError, match=rf"has `quantization_config` \({method}\).*float16"):
        opened(path)


def test_quantization_that_is_switched_off_leaves_plain_weights(copy, folders):
    off = {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": False}
    path = change(copy(models.bert_classifier) / "config.json", quantization_config=off)
    same_as(path, folders)
    change(path / "config.json", quantization_config={**off, "load_in_8bit": True})
    with pytest.raises(LoadError, match="quantization_config"):
        opened(path)


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("image-segmentation", "mask2former"),
        ("image-segmentation", "oneformer"),
        ("image-segmentation", "maskformer"),
        ("image-segmentation", "detr"),
        ("visual-question-answering", "vilt"),
        ("text-classification", "clip"),
        ("object-detection", "owlvit"),
    ],
)
def test_model_type_that_a_task_does_not_read_is_refused_with_those_it_reads(task, kind, copy):
    path = change(
        copy(models.vit_classifier) / "config.json", model_type=kind, without=("id2label",)
    )
    known = TASKS[task].known_types
    with pytest.raises(
        LoadError, match=rf"has the model_type '{kind}', .*`task: {task}` {known[0]}"
    ):
        opened(path, task, "text" if "question" in task else "logits")


def same_as(path, folders):
    """A changed folder has the results of the classifier."""
    found, expected = (
        opened(folder).predict({"text": TEXTS})["logits"]
        for folder in (path, folders(models.bert_classifier))
    )
    np.testing.assert_array_equal(found, expected)


def rename(old, new):
    return lambda path: (path / old).rename(path / new)


def parts(path):
    from transformers import AutoModel

    network = AutoModel.from_pretrained(path)
    (path / "model.safetensors").unlink()
    network.save_pretrained(path, max_shard_size="5KB")
    return sorted(path.glob("model-*"))


def adapter(path):
    rename("model.safetensors", "adapter_model.safetensors")(path)
    change(path / "adapter_config.json", peft_type="LORA")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (rename("model.safetensors", "model.fp16.safetensors"), "weights in model.fp16.safetens"),
        (lambda path: parts(path)[1].unlink(), "'model-0000[0-9]-of-.*, which is missing"),
        (
            lambda path: parts(path) and (path / "model.safetensors.index.json").unlink(),
            r"weights in model-.*; expected model.safetensors, or parts and their index",
        ),
        (
            lambda path: change(path / "config.json", transformers_weights="m.safetensors.index"),
            r"in 'm.safetensors.index' \(`transformers_weights`\), expected model.safetensors",
        ),
        (
            lambda path: change(path / "adapter_config.json", peft_type="LORA"),
            r"holds an adapter .*merge_and_unload.*remove adapter_config\.json",
        ),
        (adapter, "holds an adapter .*merge_and_unload"),
        (lambda path: adapter(path) or (path / "config.json").unlink(), "holds an adapter"),
        *(
            (
                lambda path, name=name: (path / name).write_text(POINTER),
                f"{name} is a pointer of Git LFS.*git lfs pull",
            )
            for name in ("model.safetensors", "tokenizer.json", "config.json")
        ),
    ],
)
def test_files_that_are_not_the_model_are_told(damage, said, copy):
    damage(path := copy(models.bert_classifier))
    with pytest.raises(LoadError, match=said):
        opened(path)


MISSING_PARTS = json.dumps({"weight_map": {"w": "model-00001-of-00002.safetensors"}})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors.index.json", MISSING_PARTS),
        ("model.safetensors.index.fp16.json", MISSING_PARTS),
        ("model.fp16.safetensors.index.json", MISSING_PARTS),
        ("model.fp16.safetensors", POINTER),
        ("other.safetensors", ""),
        ("examples.txt", POINTER),
        ("trainer_state.json", POINTER),
    ],
)
def test_files_that_are_not_read_may_be_anything(name, content, copy, folders):
    path = copy(models.bert_classifier)
    (path / name).write_text(content)
    same_as(path, folders)


@pytest.mark.parametrize(
    ("keys", "without"),
    [
        ({}, ["image_processor_type"]),
        ({"image_processor_type": "ViTImageProcessorFast", "device": None}, []),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 8}, ["image_processor_type"]),
        ({"image_processor_type": "ViTImageProcessor", "resample": 2, "odd": [1]}, []),
        ({"auto_map": {"AutoImageProcessor": "own.Processor"}}, []),
    ],
    ids=["no type", "fast", "legacy", "odd", "own code too"],
)
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in processor_config.json"])
def test_image_processors_of_all_times_prepare_pictures_alike(keys, without, nested, copy, folders):
    file = copy(models.vit_classifier) / "preprocessor_config.json"
    path = change(file, without=without, **keys)
    if nested:
        processor = {
            "processor_class": "CLIPProcessor",
            "image_processor": json.loads(file.read_text()),
        }
        change(path / "processor_config.json", **processor)
        file.unlink()
    expected, found = (
        opened(folder, "image-classification").predict({"image": PICTURES})["logits"]
        for folder in (folders(models.vit_classifier), path)
    )
    np.testing.assert_array_equal(found, expected)


def test_processor_that_only_own_code_knows_is_refused(copy):
    keys = {"image_processor_type": "OwnProcessor", "auto_map": {"AutoImageProcessor": "own.P"}}
    path = change(copy(models.vit_classifier) / "preprocessor_config.json", **keys)
    with pytest.raises(UntrustedArtifactError, match=r"brings code for .*`auto_map`.*never run"):
        opened(path, "image-classification")
