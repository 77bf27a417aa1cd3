"""The command init over records of sounds, pictures, texts and other contents."""

import json

import pytest

from tests.commands.inits import ROWS, bound, init
from tests.support import formats, models, sound_models
from tests.support.sounds import encoded, noise


@pytest.mark.parametrize("records", [[], ["--records", "sounds"]], ids=["models alone", "sounds"])
def test_sounds_are_decoded_at_the_rate_that_the_model_knows(run, folder, records):
    sound_models.wav2vec2_classifier(folder / "models/ears")
    (folder / "sounds").mkdir()
    (folder / "sounds/a.wav").write_bytes(encoded(noise(6000, 0)))
    data, text, _ = init(run, "models", *records)
    assert data["record"] == {"source": "audio", "fields": {"file": {"dtype": "bytes"}}}
    decoded = {"column": "waveform", "op": "decode_audio", "of": "file"}
    assert data["prepare"] == [{**decoded, "sampling_rate": 16000, "resample": True}]
    assert data["models"][0]["inputs"] == {"waveform": "waveform"}
    assert "guess: files of other rates are resampled" in text
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_pictures_are_decoded_and_resized_to_what_the_model_takes(run, folder):
    from PIL import Image

    models.save_onnx(
        folder / "models/net/model.onnx",
        [("Identity", ["image"], ["y"], {})],
        {"image": ("float32", ["rows", 3, 16, 24])},
        {"y": ("float32", ["rows", 3, 16, 24])},
    )
    (folder / "pictures").mkdir()
    Image.new("RGB", (30, 20)).save("pictures/a.png")
    data, _, _ = init(run, "models", "--records", "pictures")
    assert data["record"] == {"source": "image", "fields": {"file": {"dtype": "bytes"}}}
    assert [step["op"] for step in data["prepare"]] == ["decode_image", "resize", "normalize"]
    assert (data["prepare"][1]["height"], data["prepare"][1]["width"]) == (16, 24)
    assert data["prepare"][2]["layout"] == "chw"
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_pictures_are_prepared_as_a_file_beside_the_model_says(run, folder):
    models.save_onnx(
        folder / "models/net/1/model.onnx",
        [("Identity", ["image"], ["y"], {})],
        {"image": ("float32", ["rows", 3, 16, 16])},
        {"y": ("float32", ["rows", 3, 16, 16])},
    )
    config = {"mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.8, "interpolation": "bicubic"}
    (folder / "models/net/1/config.json").write_text(json.dumps({"pretrained_cfg": config}))
    (folder / "pictures").mkdir()
    (folder / "pictures/a.png").write_bytes(b"")
    data, text, _ = init(run, "models", "--records", "pictures")
    assert data["prepare"][1:] == [
        {
            "column": "small",
            "op": "resize",
            "of": "picture",
            "fit": "shorter_side",
            "size": 20,
            "method": "bicubic",
        },
        {"column": "middle", "op": "center_crop", "of": "small", "height": 16, "width": 16},
        {
            "column": "pixels",
            "op": "normalize",
            "of": "middle",
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "layout": "chw",
        },
    ]
    assert "guess: config.json beside it" in text
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_scikit_learn_pipeline_of_texts_reads_text(run, folder):
    models.save_estimator(models.text_classifier(), folder / "models/mood.skops")
    formats.write(folder, "jsonl", ROWS)
    data, _, _ = init(run, "models", "--records", "a.jsonl", "--trusted")
    assert bound(data, "mood") == {"X": "review"}
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0
    data, _, _ = init(run, "models", "--overwrite", "--trusted")
    assert data["record"]["fields"] == {"text": {"dtype": "string"}}
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_integers_become_floats_where_models_take_any_number(run, folder):
    """The next record may have a fraction."""
    models.sklearn_skops(folder / "models/linear")
    formats.write(folder, "jsonl", [{"v": [1, 2, 3, 4]}])
    data, _, _ = init(run, "models", "--records", "a.jsonl")
    assert data["record"]["fields"] == {"v": {"dtype": "float32", "shape": [4]}}


def test_serialized_examples_are_handed_whole_to_a_model_that_parses_them(run, folder):
    import tensorflow as tf

    features = {"left": tf.io.FixedLenFeature([4], tf.float32, [0.0] * 4)}
    models.save_function(
        folder / "models/net/1",
        lambda examples: {"y": tf.io.parse_example(examples, features)["left"]},
        {"examples": ("string", [None])},
    )
    formats.write(folder, "tfrecord", ROWS)
    for records in (["--records", "a.tfrecord"], []):
        data, text, _ = init(run, "models", "--overwrite", *records)
        assert data["record"] == {"source": "raw", "fields": {"example": {"dtype": "bytes"}}}
        assert bound(data, "net") == {"examples": "example"}
        assert "fill in" not in text
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0
    formats.write(folder, "jsonl", [{**row, "examples": row["review"]} for row in ROWS])
    data, _, _ = init(run, "models", "--overwrite", "--records", "a.jsonl")
    assert "source" not in data["record"]
