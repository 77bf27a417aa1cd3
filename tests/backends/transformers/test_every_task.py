"""What every task has to do: rows in any company, half precision, bad rows, a new version."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.backends.transformers.tasks.table import TASKS
from pipeline.batch.batch import Batch
from pipeline.batch.columns import Ragged, iterate
from pipeline.batch.tensors import dtype_name, shape_fits
from pipeline.serving.step.model_step import ModelStep
from pipeline.spec.entries import tasks
from tests.support import models, picture_models, sound_models, text_models
from tests.support.sounds import RATE, noise
from tests.support.specs import load, model_spec

RNG = np.random.default_rng(0)
WORDS = ["good film", "a red circle", "", "bad", "the blue square", "red"]
TEXTS = [f"{text} {'good ' * (i % 4)}" for i, text in enumerate(WORDS * 3)]
IMAGES = [RNG.integers(0, 256, (20 + i % 2, 14, 3), dtype="uint8") for i in range(7)]
SOUNDS = [noise(6000 + 1000 * (i % 3), i) for i in range(7)]
SIDES = {"value": ["red", "a photo"], "dtype": "string"}
LONG, NOTHING = "good " * 90, np.zeros((0, 0, 3), "uint8")
REFUSES = {"truncation": "error"}
SHORT = {"max_new_tokens": 4}
NLI = dict(enumerate(["contradiction", "neutral", "entailment"]))
TAGS = dict(enumerate(["O", "B-SHAPE", "I-SHAPE"]))


@dataclass(frozen=True)
class TaskCase:
    """A task, a model for it, and rows.

    Attributes:
      build: folder -> the folder of a model.
      columns: input -> values of the rows; the same number of each.
      bad: of one input a value that cannot be computed.
      constants: inputs that are the same for every row.
      keys: of the entry.
    """

    build: Any
    columns: dict[str, list[Any]]
    bad: tuple[str, Any]
    constants: dict[str, Any] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)


def bert(kind, **config):
    return lambda folder: text_models.bert(folder, kind, **config)


def sentences(folder):
    models.bert_embedder(folder)
    module = {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}
    pooling = {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    (folder / "1_Pooling").mkdir()
    mean = {"pooling_mode": "mean", "embedding_dimension": 16}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(mean))
    (folder / "modules.json").write_text(json.dumps([module, pooling]))
    return folder


def of_texts(build, keys=REFUSES, texts=TEXTS, **constants):
    return TaskCase(build, {"text": texts}, ("text", LONG), constants, keys)


def of_pictures(build, keys=None, **more):
    columns = {"image": IMAGES, **more}
    return TaskCase(build, columns, ("image", NOTHING), keys=keys or {})


def of_sounds(build):
    silent = np.zeros(0, np.float32)
    keys = {"sampling_rate": RATE}
    return TaskCase(build, {"waveform": SOUNDS}, ("waveform", silent), keys=keys)


def of_towers(name, keys=None):
    columns = {"image": IMAGES}
    return TaskCase(picture_models.clip, columns, ("image", NOTHING), {name: SIDES}, keys or {})


WRITES = {**REFUSES, **SHORT}
MASKED = [f"{text} [MASK]" for text in TEXTS]
CASES = {
    "feature-extraction": of_texts(models.bert_embedder),
    "sentence-embedding": of_texts(sentences),
    "text-classification": of_texts(models.bert_classifier),
    "zero-shot-classification": of_texts(
        bert("BertForSequenceClassification", id2label=NLI), labels=SIDES
    ),
    "token-classification": of_texts(bert("BertForTokenClassification", id2label=TAGS)),
    "question-answering": TaskCase(
        bert("BertForQuestionAnswering"),
        {"question": ["what", "red", "blue"] * 6, "context": [f"a red circle {t}" for t in TEXTS]},
        ("question", LONG),
    ),
    "fill-mask": of_texts(bert("BertForMaskedLM"), texts=MASKED),
    "text2text-generation": of_texts(text_models.t5, WRITES),
    "summarization": of_texts(text_models.t5, WRITES),
    "translation": of_texts(text_models.t5, WRITES),
    "text-generation": of_texts(text_models.gpt2, {**WRITES, "do_sample": True}),
    "image-classification": of_pictures(models.vit_classifier),
    "image-text-similarity": of_towers("texts"),
    "zero-shot-image-classification": of_towers("labels", {"hypothesis_template": "{}"}),
    "image-to-text": of_pictures(picture_models.blip, SHORT),
    "visual-question-answering": of_pictures(
        picture_models.blip_answers, SHORT, question=TEXTS[: len(IMAGES)]
    ),
    "object-detection": of_pictures(picture_models.yolos),
    "image-segmentation": of_pictures(picture_models.segformer),
    "automatic-speech-recognition": of_sounds(sound_models.ctc),
    "audio-classification": of_sounds(sound_models.wav2vec2_classifier),
}
OUTPUTS = ("text", "scores", "score", "label", "labels", "embedding")
"""Of which each task has one."""
every_task = pytest.mark.parametrize("task", CASES)


def test_every_task_is_tried_here():
    assert CASES.keys() == TASKS.keys()


def test_every_pipeline_of_the_library_is_a_task_or_said_to_be_missing():
    from transformers.pipelines import SUPPORTED_TASKS

    text = (Path(__file__).parents[3] / "docs" / "ensemble-file.md").read_text()
    missing = text.partition("| missing | why |")[2].partition("\n\n")[0]
    assert not [
        name for name in SUPPORTED_TASKS if name not in TASKS and f"`{name}`" not in missing
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Task -> the folder of its model, made once."""
    made = {}

    def folder(task):
        if task not in made:
            made[task] = CASES[task].build(tmp_path_factory.mktemp(task))
        return made[task]

    return folder


def entry(folder, task, **keys):
    """An entry with all outputs."""
    case = CASES[task]
    inputs = {**{name: name for name in case.columns}, **case.constants}
    fixed = {"framework": "transformers", "task": task, "inputs": inputs, **case.keys, **keys}
    first = next(output for output in OUTPUTS if has(task, output))
    servable = load(folder, model_spec(outputs={first: first}, **fixed))
    outputs = {tensor.name: tensor.name + "_" for tensor in servable.signature.outputs}
    return model_spec(outputs=outputs, **fixed)


def has(task, output):
    return f"`{output}`" in tasks.TASKS[task].outputs


def run(spec, servable, columns):
    """The outputs of the rows by their ids, which are their numbers, and those without any."""
    count = len(next(iter(columns.values())))
    arrays = {name: as_column(values) for name, values in columns.items()}
    batch = Batch(ids=tuple(range(count)), payloads=(b"",) * count, columns=arrays)
    done = ModelStep(spec).run(batch, servable)
    rows = {row: {} for row in done.ids}
    for name in spec.outputs.values():
        for row, value in zip(done.ids, iterate(done.columns[name]), strict=True):
            rows[row][name] = value
    return rows, [reject.record_id for reject in done.rejects]


def as_column(values):
    if isinstance(values[0], np.ndarray):
        return Ragged(values)
    return np.array(values, dtype=object)


def agree(found, expected):
    for name, value in expected.items():
        assert found[name].shape == value.shape
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)
        else:
            assert found[name].tolist() == value.tolist()


@every_task
def test_row_is_the_same_alone_among_many_and_in_other_order(task, folders):
    spec = entry(folders(task), task)
    servable = load(folders(task), spec)
    columns = CASES[task].columns
    many, rejected = run(spec, servable, columns)
    assert not rejected
    signature = {tensor.name: tensor for tensor in servable.signature.outputs}
    for row in many.values():
        for name, column in spec.outputs.items():
            said, value = signature[name], row[column]
            assert said.dtype in ("bytes", dtype_name(value)) or not value.size
            assert shape_fits(value.shape, said.row_shape)
    if spec.keyed:  # whose chance is the record's, and here a record is its number
        return
    for row in (0, 4):
        one = {name: values[row : row + 1] for name, values in columns.items()}
        agree(run(spec, servable, one)[0][0], many[row])
    last = len(many) - 1
    turned, _ = run(spec, servable, {name: values[::-1] for name, values in columns.items()})
    for row, value in turned.items():
        agree(value, many[last - row])


@every_task
def test_bad_row_costs_only_itself(task, folders):
    case, spec = CASES[task], entry(folders(task), task)
    servable = load(folders(task), spec)
    rows = {name: values[:4] for name, values in case.columns.items()}
    good, _ = run(spec, servable, rows)
    name, value = case.bad
    rows[name] = [*rows[name][:2], value, rows[name][3]]
    found, rejected = run(spec, servable, rows)
    assert rejected == [2]
    for row in (0, 1, 3):
        agree(found[row], good[row])


@every_task
def test_half_precision_has_the_same_outputs_of_the_same_kinds(task, folders):
    columns = {name: values[:3] for name, values in CASES[task].columns.items()}
    whole_spec, half_spec = (
        entry(folders(task), task, precision=precision) for precision in ("full", "half")
    )
    whole, _ = run(whole_spec, load(folders(task), whole_spec), columns)
    half, rejected = run(half_spec, load(folders(task), half_spec), columns)
    assert not rejected
    for row, values in whole.items():
        for name, value in values.items():
            assert half[row][name].dtype == value.dtype
            assert half[row][name].ndim == value.ndim
            if value.dtype.kind == "f":
                assert np.isfinite(half[row][name]).all()


@every_task
def test_new_version_gives_its_own_results_and_leaves_the_old_one_alone(task, folders, tmp_path):
    from safetensors.torch import load_file, save_file

    changed = shutil.copytree(folders(task), tmp_path / "2")
    file = changed / "model.safetensors"
    weights = {
        name: tensor.flip(0) * 0.75 if tensor.is_floating_point() and tensor.ndim else tensor
        for name, tensor in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})
    spec, columns = entry(folders(task), task), CASES[task].columns
    old = load(folders(task), spec)
    before, _ = run(spec, old, columns)
    new = load(changed, spec)
    assert new.signature == old.signature
    after, _ = run(spec, new, columns)
    assert any(
        value.shape != after[row][name].shape or value.tolist() != after[row][name].tolist()
        for row, values in before.items()
        for name, value in values.items()
    )
    again, _ = run(spec, old, columns)
    for row, value in again.items():
        agree(value, before[row])
