"""What is said, and of which class a sound is, as transformers' own pipeline hears each alone."""

import json

import numpy as np
import pytest

from pipeline.backends.transformers.tasks.table import task_of
from pipeline.batch.batch import Batch
from pipeline.batch.columns import Ragged
from pipeline.drafting.description import description_of
from pipeline.errors import LoadError
from pipeline.serving.step.model_step import ModelStep
from tests.support import models, sound_models
from tests.support.sounds import RATE, noise
from tests.support.specs import load, model_spec

LENGTHS = (9000, 12000, 9000, 5000, 12000)
SOUNDS = [noise(samples, seed) for seed, samples in enumerate(LENGTHS)]
LETTERS = ("Wav2Vec2", "Hubert", "WavLM", "Wav2Vec2Bert")


def entry(task, *outputs, **changes):
    keys = {"inputs": {"waveform": "w"}, "sampling_rate": RATE}
    named = {"outputs": {name: name for name in outputs}}
    return model_spec(framework="transformers", task=task, **{**keys, **named, **changes})


CLASSES = entry("audio-classification", "label")


def heard(folder, sounds=SOUNDS, **changes):
    """The texts of sounds that come together, and why others have none."""
    return run(folder, entry("automatic-speech-recognition", "text", **changes), {"w": sounds})


def run(folder, spec, columns, output="text"):
    count = len(next(iter(columns.values())))
    read = {n: Ragged(c) if n == "w" else np.array(c) for n, c in columns.items()}
    records = Batch(ids=tuple(range(count)), payloads=(b"",) * count, columns=read)
    done = ModelStep(spec).run(records, load(folder, spec))
    reasons = {reject.record_id: reject.error_message for reject in done.rejects}
    values = done.columns.get(output, ())
    return dict(zip(done.ids, list(values), strict=True)), reasons


def library(folder, task, **keys):
    from transformers import pipeline

    return pipeline(task, str(folder), **keys)


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    return sound_models.ctc(tmp_path_factory.mktemp("wav2vec2"))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return sound_models.whisper(tmp_path_factory.mktemp("whisper"))


@pytest.mark.parametrize("name", LETTERS)
def test_letters_are_those_of_the_pipeline_in_any_company(name, tmp_path):
    keys = {"feature_projection_input_dim": 160} if name == "Wav2Vec2Bert" else {}
    folder = sound_models.ctc(tmp_path, name, **keys)
    texts, reasons = heard(folder)
    ask = library(folder, "automatic-speech-recognition")
    assert not reasons
    assert [*texts.values()] == [ask(sound)["text"] for sound in SOUNDS]
    assert len({*texts.values()}) > 2


def test_whisper_writes_what_the_pipeline_writes(whisper):
    texts, reasons = heard(whisper)
    ask = library(whisper, "automatic-speech-recognition")
    assert not reasons
    assert [*texts.values()] == [ask(sound)["text"] for sound in SOUNDS]
    assert len({*texts.values()}) > 2


def test_silence_that_fills_a_sound_up_changes_nothing_for_whisper(whisper):
    filled = [np.pad(sound, (0, 2 * RATE - len(sound))) for sound in SOUNDS]
    assert heard(whisper, filled) == heard(whisper)


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ({"language": "fr"}, {"language": "fr"}),
        ({"language": "en", "translate": True}, {"language": "en", "task": "translate"}),
        ({"max_new_tokens": 3, "num_beams": 1}, {"max_new_tokens": 3, "num_beams": 1}),
    ],
    ids=str,
)
def test_options_of_whisper_reach_it(keys, options, whisper):
    texts, _ = heard(whisper, **keys)
    ask = library(whisper, "automatic-speech-recognition")
    assert [*texts.values()] == [ask(s, generate_kwargs=options)["text"] for s in SOUNDS]


def test_more_than_whisper_hears_at_once_is_a_dead_letter_unless_it_goes_on(whisper):
    sounds = [*SOUNDS[:2], noise(70000, 7), noise(70000, 8), noise(45000, 9)]
    texts, reasons = heard(whisper, sounds)
    assert [*texts] == [0, 1]
    assert "has 4.4 seconds, and the model takes 2.0; `long_form: true` reads it" in reasons[2]
    texts, reasons = heard(whisper, sounds, long_form=True)
    ask = library(whisper, "automatic-speech-recognition")
    assert not reasons
    assert [*texts.values()] == [ask(s, return_timestamps=True)["text"] for s in sounds]


def test_long_form_needs_a_folder_that_tells_times(tmp_path):
    folder = sound_models.whisper(tmp_path)
    file = folder / "generation_config.json"
    said = json.loads(file.read_text())
    del said["no_timestamps_token_id"]
    file.write_text(json.dumps(said))
    with pytest.raises(LoadError, match="has no `no_timestamps_token_id`"):
        heard(folder, long_form=True)


def test_languages_are_those_of_the_folder(whisper, tmp_path):
    with pytest.raises(LoadError, match="has no language 'de'; it has en, fr"):
        heard(whisper, language="de")
    folder = sound_models.whisper(tmp_path, languages=False)
    for keys in ({"language": "en"}, {"translate": True}):
        with pytest.raises(LoadError, match=r"has one language .* has no use"):
            heard(folder, **keys)


@pytest.mark.parametrize(
    "keys", [{"long_form": True}, {"language": "en"}, {"num_beams": 2}], ids=str
)
def test_options_of_whisper_have_no_use_with_letters(keys, letters):
    with pytest.raises(LoadError, match=f"found the key `{next(iter(keys))}`, but a Wav2V"):
        heard(letters, **keys)


@pytest.mark.parametrize(
    "build", [sound_models.wav2vec2_classifier, sound_models.spectrogram_classifier]
)
def test_classes_are_those_of_the_pipeline_in_any_company(build, tmp_path):
    folder = build(tmp_path)
    spec = entry("audio-classification", "label", "probs")
    labels, _ = run(folder, spec, {"w": SOUNDS}, "label")
    probs, _ = run(folder, spec, {"w": SOUNDS}, "probs")
    ask = library(folder, "audio-classification")
    for row, sound in enumerate(SOUNDS):
        expected = {one["label"]: one["score"] for one in ask(sound)}
        assert labels[row] == max(expected, key=expected.get)
        order = [expected[f"LABEL_{i}"] for i in range(3)]
        np.testing.assert_allclose(probs[row], order, atol=1e-5)


def test_sound_that_a_classifier_cuts_is_a_dead_letter_where_that_is_said(tmp_path):
    folder = sound_models.spectrogram_classifier(tmp_path)
    most = 400 + 160 * 64 - 1  # 64 frames
    spec = entry("audio-classification", "label", truncation="error")
    labels, reasons = run(folder, spec, {"w": [noise(most, 1), noise(most + 1, 1)]}, "label")
    assert [*labels] == [0]
    assert "has 0.7 seconds, and the model takes 0.7; without `truncation: error`" in reasons[1]


def test_sounds_that_a_classifier_cuts_are_counted(tmp_path):
    folder, step = sound_models.spectrogram_classifier(tmp_path), ModelStep(CLASSES)
    most = 400 + 160 * 64 - 1
    sounds = [noise(samples, 1) for samples in (most, most + 1, 3000, most + 900)]
    records = Batch(ids=tuple(range(4)), payloads=(b"",) * 4, columns={"w": Ragged(sounds)})
    done = step.run(records, load(folder, CLASSES))
    assert (len(done.ids), step.cut_texts) == (4, 2)


def test_rate_of_each_row_is_checked(letters):
    changes = {"inputs": {"waveform": "w", "sampling_rate": "r"}, "sampling_rate": None}
    spec = entry("automatic-speech-recognition", "text", **changes)
    rates = [RATE, 8000, RATE, 44100, RATE]
    texts, reasons = run(letters, spec, {"w": SOUNDS, "r": rates})
    alone, _ = heard(letters)
    assert texts == {row: alone[row] for row in (0, 2, 4)}
    assert "found the sampling_rate 8000, and the model was trained with 16000" in reasons[1]
    assert "44100" in reasons[3]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sampling_rate": None}, r"nothing says what .* expected the key `sampling_rate: 16000`"),
        ({"sampling_rate": 8000}, r"16000 samples a second, found `sampling_rate: 8000`"),
        ({"inputs": {"waveform": "w", "sampling_rate": "r"}}, "expected one"),
        (
            {"inputs": {"waveform": "w", "sampling_rate": {"value": RATE, "dtype": "int64"}}},
            "is a constant, expected a column",
        ),
        ({"inputs": {"waveform": {"column": "w", "pad_value": 0}}}, "has `pad_value`"),
    ],
    ids=["no rate", "another rate", "key and column", "constant", "pad_value"],
)
def test_entry_that_says_another_rate_or_none_is_refused(changes, why, letters):
    if changes.get("sampling_rate", 0) is None:
        del (keys := {"sampling_rate": RATE, **changes})["sampling_rate"]
        spec = model_spec(
            framework="transformers",
            task="automatic-speech-recognition",
            inputs={"waveform": "w"},
            outputs={"text": "t"},
            **keys,
        )
    else:
        spec = entry("automatic-speech-recognition", "text", **changes)
    with pytest.raises(LoadError, match=why):
        load(letters, spec)


def test_rows_without_a_sound_cost_only_themselves(letters):
    good = SOUNDS[0]
    bad = {
        "has no samples": np.zeros(0, np.float32),
        "that are no numbers": np.where(np.arange(9000) == 5, np.nan, good).astype(np.float32),
        "expected -1 to 1: 16-bit integers": good * 32768,
        "": good[:10],  # too short for the model, which says so itself
    }
    texts, reasons = heard(letters, [good, *bad.values()])
    assert [*texts] == [0]
    for row, why in enumerate(bad, start=1):
        assert why in reasons[row]


@pytest.mark.parametrize(
    "leave",
    [
        lambda folder: (folder / "alphabet.json").write_text("{}"),
        lambda folder: (folder / "language_model").mkdir(),
        lambda folder: (folder / "preprocessor_config.json").write_text(
            json.dumps({"processor_class": "Wav2Vec2ProcessorWithLM", "sampling_rate": RATE})
        ),
    ],
    ids=["alphabet", "language model", "processor"],
)
def test_decoder_with_a_language_model_is_refused(leave, tmp_path):
    folder = sound_models.ctc(tmp_path)
    leave(folder)
    with pytest.raises(LoadError, match="has a decoder with a language model"):
        heard(folder)


def test_extractor_that_is_none_or_reads_no_sound_or_adds_noise_is_refused(letters, tmp_path):
    folder = sound_models.wav2vec2_classifier(tmp_path / "model")
    file = folder / "preprocessor_config.json"
    said = json.loads(file.read_text())
    spec = entry("audio-classification", "label")
    file.unlink()
    with pytest.raises(LoadError, match="has no file of its feature extractor"):
        load(folder, spec)
    file.write_text(json.dumps({**said, "dither": 0.1}))
    with pytest.raises(LoadError, match=r"`dither: 0.1`: it adds noise"):
        load(folder, spec)
    pictures = models.vit_classifier(tmp_path / "vit") / "preprocessor_config.json"
    file.write_text(pictures.read_text())
    with pytest.raises(LoadError, match="is of the image processor ViT"):
        load(folder, spec)


def test_tasks_and_rates_are_known_by_the_folder(letters, whisper, tmp_path):
    folders = {
        letters: "automatic-speech-recognition",
        whisper: "automatic-speech-recognition",
        sound_models.spectrogram_classifier(tmp_path): "audio-classification",
    }
    for folder, task in folders.items():
        assert task_of(folder)[0] == task
        described = description_of("transformers", folder)
        assert described.keys == {"task": task, "sampling_rate": RATE}
        assert [tensor.name for tensor in described.inputs] == ["waveform", "sampling_rate"]
        assert described.optional == {"sampling_rate"}


def test_half_precision_hears_what_the_model_hears_in_it(tmp_path):
    import torch
    from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

    folder = sound_models.wav2vec2_classifier(tmp_path)
    read = AutoFeatureExtractor.from_pretrained(folder)
    model = AutoModelForAudioClassification.from_pretrained(folder, dtype=torch.bfloat16).eval()
    spec = entry("audio-classification", "probs", precision="half")
    for sound in SOUNDS:  # alone: in company, random weights in bfloat16 may say something else
        waveform = read(sound, sampling_rate=RATE, return_tensors="pt")["input_values"]
        with torch.inference_mode():
            by_hand = model(waveform.to(torch.bfloat16)).logits.float().softmax(-1)[0]
        found, _ = run(folder, spec, {"w": [sound]}, "probs")
        np.testing.assert_allclose(found[0], by_hand.numpy(), atol=0.01)
