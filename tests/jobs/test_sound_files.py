"""A folder of sound files becomes what is said in them, by the ensemble file alone."""

import numpy as np

from tests.support import sound_models
from tests.support.sounds import encoded, noise


def test_sound_files_of_all_lengths_become_texts_and_what_is_no_sound_a_dead_letter(job):
    folder = sound_models.ctc(job.folder / "speaks" / "1")
    job.spec = {
        "name": "speech",
        "record": {"source": "audio", "fields": {"file": {"dtype": "bytes"}}},
        "prepare": [
            {
                "column": "sound",
                "op": "decode_audio",
                "of": "file",
                "sampling_rate": 16000,
                "resample": True,
            }
        ],
        "models": [
            {
                "name": "speaks",
                "framework": "transformers",
                "task": "automatic-speech-recognition",
                "uri": str(folder),
                "sampling_rate": 16000,
                "inputs": {"waveform": "sound"},
                "outputs": {"text": "said"},
            }
        ],
        "output": ["said"],
    }
    sounds = {"a.wav": noise(9000, 1), "b.flac": noise(12000, 2), "c.wav": noise(9000, 3)}
    for name, sound in sounds.items():
        (job.input / name).write_bytes(encoded(sound, name.split(".")[1].upper()))
    stereo = np.stack([noise(8000, 4), noise(8000, 5)], axis=1)
    (job.input / "d.wav").write_bytes(encoded(stereo, rate=8000))
    (job.input / "e.wav").write_bytes(b"RIFF is not all")
    assert job.run() == 0

    from transformers import pipeline

    said = {
        made["id"].rpartition("/")[2]: made["predictions"]["said"] for made in job.predictions()
    }
    assert {*said} == {*sounds, "d.wav"}
    ask = pipeline("automatic-speech-recognition", str(folder))
    for name, sound in sounds.items():
        as_integers = np.round(sound * 32768).clip(-32768, 32767) / np.float32(32768)
        assert said[name] == ask(as_integers.astype(np.float32))["text"]
    (letter,) = job.dead_letters()
    assert letter["error_type"] == "bad_audio"
