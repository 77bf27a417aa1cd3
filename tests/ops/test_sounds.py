"""Sounds: both formats, one channel, the rate that was said; what is no sound costs its row."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batch.columns import Ragged
from pipeline.errors import RowsError, SpecError
from pipeline.ops.step import apply
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.spec.prepare import DecodeAudio
from tests.support.images import column
from tests.support.sounds import RATE, encoded, noise, tone


def decode(*files, **options):
    if "rate" not in options:
        options.setdefault("sampling_rate", RATE)
    step = DecodeAudio(column="y", op="decode_audio", of="x", **options)
    return apply(step, {"x": column(*files)})


def reason(file, **options):
    with pytest.raises(RowsError) as error:
        decode(file, **options)
    (message,) = error.value.messages.values()
    return message.removeprefix("prepare step 'y' (decode_audio of 'x'): ")


@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "FLAC"])
def test_every_format_becomes_samples_of_its_length(kind):
    made = decode(encoded(tone(900), kind), encoded(tone(50), kind))["y"]
    assert isinstance(made, Ragged)
    for row, samples in zip(made.rows, (900, 50), strict=True):
        assert row.dtype == np.float32
        np.testing.assert_allclose(row, tone(samples), atol=1e-4)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_numbers_of_all_widths_lie_between_minus_one_and_one(subtype):
    (row,) = decode(encoded(tone(300), subtype=subtype))["y"].rows
    np.testing.assert_allclose(row, tone(300), atol=0.02 if subtype == "PCM_U8" else 1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_several_channels_become_their_mean(channels):
    many = np.stack([tone(100, pitch=200 + 50 * i) for i in range(channels)], axis=1)
    (row,) = decode(encoded(many, subtype="FLOAT"))["y"].rows
    np.testing.assert_allclose(row, many.mean(axis=1), atol=1e-6)


def test_long_sound_is_the_same_as_a_whole_and_in_blocks():
    whole = noise(200_000, seed=1)
    (row,) = decode(encoded(whole, subtype="FLOAT"))["y"].rows
    np.testing.assert_array_equal(row, whole)


def test_rate_of_each_file_is_a_column_where_it_is_asked_for():
    files = [encoded(tone(80, rate=rate), rate=rate) for rate in (8000, 44100)]
    made = decode(*files, rate="hz")
    assert made["hz"].tolist() == [8000, 44100]
    assert made["hz"].dtype == np.int64


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_resampled_tone_is_the_same_tone(rate):
    (row,) = decode(encoded(tone(rate, rate=rate), rate=rate), resample=True)["y"].rows
    assert row.dtype == np.float32
    assert len(row) == RATE
    edge = RATE // 20  # where the filter has nothing on one side
    np.testing.assert_allclose(row[edge:-edge], tone(RATE)[edge:-edge], atol=2e-3)


def test_other_rates_are_dead_letters_unless_resampling_is_said():
    file = encoded(tone(100), rate=8000)
    assert reason(file) == (
        "found 8,000 samples a second, expected 16,000; `resample: true` would change that"
    )


def patched(file, place, *bytes_):
    changed = bytearray(file)
    changed[place : place + len(bytes_)] = bytes_
    return bytes(changed)


WAV, FLAC = encoded(tone(2000)), encoded(tone(2000), "FLAC")
SIZE = WAV.index(b"data") + 4
LENGTH = 22  # the low bytes of a FLAC's number of samples
BAD = {
    "empty": (b"", "found no bytes"),
    "an image": (b"\x89PNG\r\n\x1a\n" + b"0" * 50, "expected a WAV or FLAC file"),
    "another format": (encoded(tone(100), "OGG"), "expected a WAV or FLAC file"),
    "only a beginning": (WAV[:20], "cannot be decoded"),
    "WAV without samples": (encoded(tone(0)), "found no samples"),
    "WAV that was never finished": (patched(WAV, SIZE, 0, 0, 0, 0), "found no samples"),
    "half a WAV": (WAV[:2000], "the file is cut short"),
    "a WAV that lacks one byte": (WAV[:-1], "the file is cut short"),
    "WAV that claims more": (patched(WAV, SIZE, 0, 0, 0, 0x7F), "the file is cut short"),
    "half a FLAC": (FLAC[: len(FLAC) // 2], "cannot be decoded: "),
    "FLAC that claims more": (patched(FLAC, LENGTH, 0, 1, 0, 0), "its header says 65,536"),
    "FLAC that claims days": (patched(FLAC, LENGTH, 255, 255, 255, 0), "expected at most 600"),
    "not a number": (
        encoded(np.array([0, np.nan, 0], np.float32), subtype="FLOAT"),
        "samples that are no numbers",
    ),
    "infinite": (
        encoded(np.array([0, np.inf, 0], np.float32), subtype="FLOAT"),
        "samples that are no numbers",
    ),
}


@pytest.mark.parametrize(("file", "why"), BAD.values(), ids=BAD)
def test_what_is_no_whole_sound_costs_its_row_and_says_why(file, why):
    message = reason(file)
    assert why in message
    assert "0x" not in message
    assert "\n" not in message
    with pytest.raises(RowsError) as error:
        decode(WAV, file, FLAC)
    assert list(error.value.messages) == [1]


def test_length_is_refused_by_the_header_before_anything_is_decoded():
    silent = encoded(np.zeros((RATE * 3, 8), np.float32), "FLAC")  # a few bytes a second
    assert len(silent) < 10_000
    assert reason(silent, max_seconds=2.5) == (
        "found 3.0 seconds or more, expected at most 2.5 (`max_seconds`)"
    )
    assert len(decode(silent, max_seconds=3)["y"].rows[0]) == RATE * 3


def test_file_from_a_pipe_has_no_length_and_is_read_to_its_end():
    endless = patched(WAV, SIZE, 255, 255, 255, 255)
    unknown = patched(FLAC, 21, FLAC[21] & 0xF0, 0, 0, 0, 0)
    for row in decode(endless, unknown)["y"].rows:
        np.testing.assert_allclose(row, tone(2000), atol=1e-4)
    assert "expected at most 0.1" in reason(unknown, max_seconds=0.1)


@pytest.mark.parametrize("rate", [1, 999, 400_000, 0x7FFFFFFF])
def test_rates_that_nobody_records_with_are_refused(rate):
    place = WAV.index(b"fmt ") + 12
    changed = patched(WAV, place, *struct.pack("<I", rate))
    assert f"found {rate:,} samples a second" in reason(changed, rate="hz")


@settings(max_examples=200, deadline=None)
@given(
    file=st.sampled_from([WAV, FLAC]),
    changes=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=6),
    end=st.integers(0, 4500),
)
def test_damaged_files_are_samples_or_a_reason(file, changes, end):
    for place, byte in changes:
        file = patched(file, place, byte)
    try:
        (row,) = decode(file[:end], rate="hz", max_seconds=60)["y"].rows
    except RowsError as error:
        (message,) = error.messages.values()
        assert message
    else:
        assert row.ndim == 1
        assert row.size
        assert np.isfinite(row).all()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "samples say nothing without it"),
        ({"rate": "hz", "sampling_rate": 8000}, "expected one"),
        ({"rate": "hz", "resample": True}, "no use without the key 'sampling_rate'"),
        ({"sampling_rate": 12}, "greater than or equal to 1000"),
    ],
    ids=str,
)
def test_rate_is_said_in_one_way(options, why):
    with pytest.raises(ValueError, match=why):
        DecodeAudio(column="y", op="decode_audio", of="x", **options)


@pytest.mark.parametrize(
    ("keys", "said", "found"),
    [
        ({"sampling_rate": 8000}, 16000, "has `sampling_rate: 8000`"),
        ({"rate": "hz"}, 16000, "has `rate: hz`, so each file has its own"),
        ({"sampling_rate": 16000}, 16000, ""),
    ],
    ids=str,
)
def test_model_and_step_say_the_same_rate(keys, said, found):
    ensemble = EnsembleSpec.model_validate(
        {
            "name": "e",
            "record": {"fields": {"file": {"dtype": "bytes"}}},
            "prepare": [{"column": "sound", "op": "decode_audio", "of": "file", **keys}],
            "models": [
                {
                    "name": "m",
                    "framework": "transformers",
                    "task": "audio-classification",
                    "uri": "m",
                    "sampling_rate": said,
                    "inputs": {"waveform": "sound"},
                    "outputs": {"label": "label"},
                }
            ],
        }
    )
    if not found:
        assert resolve(ensemble)
        return
    with pytest.raises(SpecError, match=f"reads column 'sound', and prepare step 'sound' {found}"):
        resolve(ensemble)
