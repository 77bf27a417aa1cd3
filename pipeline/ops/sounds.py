"""Sound files as columns of waveforms. soundfile and scipy are imported where they are used."""

from __future__ import annotations

import io
import math
import struct
from typing import Any

import numpy as np

from pipeline.batch import columns
from pipeline.batch.columns import Array, Column, Ragged
from pipeline.errors import RowsError
from pipeline.spec.prepare import DecodeAudio

_FORMATS = ("WAV", "WAVEX", "FLAC")
_BEGINNINGS = (b"RIFF", b"RIFX", b"fLaC")
_SLOWEST, _FASTEST = 1_000, 384_000
_BLOCK = 1 << 16
_UNKNOWN_FRAMES = 1 << 40
"""A FLAC file that was written to a pipe claims endless samples."""
_UNKNOWN_BYTES = (0, 0xFFFFFFFF)
"""What writers to a pipe leave as the length of a WAV file's samples."""


class _BadSoundError(Exception):
    """Why a file cannot be decoded."""


def check_installed(step: DecodeAudio) -> None:
    """Makes sure that what the step needs can be imported.

    Raises:
      ValueError: it cannot; says what to install.
    """
    try:
        import soundfile  # noqa: F401

        if step.resample:
            import scipy.signal  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: it finds no libsndfile
        package = getattr(error, "name", None) or "soundfile"
        raise ValueError(
            f"needs the package '{package}', which cannot be imported ({error}); "
            f"pip install {package}"
        ) from error


def decode(step: DecodeAudio, column: Column) -> tuple[Column, ...]:
    """Sound files -> waveforms of one channel, and the rates of the files if they are asked for.

    Args:
      step: what they must have.
      column: shape ``(rows,)``, bytes: a file each.

    Returns:
      float32, each row of shape ``(samples,)``; int64 of shape ``(rows,)``.

    Raises:
      RowsError: files that are empty, damaged, cut short, too long, of another rate, or no sound of
        a known format.
    """
    waveforms: list[Array] = []
    rates: list[int] = []
    bad: dict[int, str] = {}
    for row, data in enumerate(columns.iterate(column)):
        try:
            waveform, rate = _decode(step, data.item())
        except _BadSoundError as error:
            bad[row] = str(error)
        else:
            waveforms.append(waveform)
            rates.append(rate)
    if bad:
        raise RowsError(bad)
    made: Column = Ragged(waveforms)
    return (made,) if step.rate is None else (made, np.array(rates, np.int64))


def _decode(step: DecodeAudio, data: bytes) -> tuple[Array, int]:
    if not data:
        raise _BadSoundError("found no bytes, expected a sound file")
    if data[:4] not in _BEGINNINGS:
        raise _BadSoundError(
            f"found {len(data):,} bytes that begin with {data[:8]!r}, expected a WAV or FLAC file"
        )
    try:
        with _opened(data) as file:
            rate: int = file.samplerate
            _check_header(step, file.format, file.frames, rate)
            if file.format != "FLAC":
                _refuse_cut(data)
            waveform = _read(file, int(step.max_seconds * rate))
            if file.frames < _UNKNOWN_FRAMES and len(waveform) < file.frames:
                raise _BadSoundError(
                    f"found {len(waveform):,} samples, and its header says {file.frames:,}: the "
                    "file is cut short or damaged"
                )
    except (_BadSoundError, MemoryError):
        raise
    except Exception as error:  # libsndfile's decoders stumble over whatever there is
        # soundfile's own text names an object of this process.
        why = getattr(error, "error_string", None) or error
        raise _BadSoundError(f"the sound cannot be decoded: {why}") from None
    if not len(waveform):
        raise _BadSoundError("found no samples")
    if len(waveform) > step.max_seconds * rate:
        raise _BadSoundError(_too_long(step, len(waveform) / rate))
    if not np.isfinite(waveform).all():
        raise _BadSoundError("found samples that are no numbers")
    if step.sampling_rate is not None and rate != step.sampling_rate:
        waveform = _resampled(waveform, rate, step.sampling_rate)
    return waveform, rate


def _opened(data: bytes) -> Any:
    import soundfile

    class File(soundfile.SoundFile):  # type: ignore[misc]
        """Is read from its beginning to its end: of a file from a pipe, nobody knows the end."""

        def seekable(self) -> bool:
            return False

    return File(io.BytesIO(data))


def _check_header(step: DecodeAudio, form: str, frames: int, rate: int) -> None:
    """Refuses what is not to be decoded, before it takes any memory."""
    if form not in _FORMATS:
        raise _BadSoundError(f"found the format {form}, expected WAV or FLAC")
    if not _SLOWEST <= rate <= _FASTEST:
        raise _BadSoundError(
            f"found {rate:,} samples a second, expected {_SLOWEST:,} to {_FASTEST:,}"
        )
    if step.sampling_rate not in (None, rate) and not step.resample:
        raise _BadSoundError(
            f"found {rate:,} samples a second, expected {step.sampling_rate:,}; `resample: true` "
            "would change that"
        )
    if frames < _UNKNOWN_FRAMES and frames > step.max_seconds * rate:
        raise _BadSoundError(_too_long(step, frames / rate))


def _too_long(step: DecodeAudio, seconds: float) -> str:
    return (
        f"found {seconds:,.1f} seconds or more, expected at most {step.max_seconds:g} "
        "(`max_seconds`)"
    )


def _refuse_cut(data: bytes) -> None:
    """Refuses a WAV file whose samples end before their chunk does: libsndfile reads the rest."""
    order = ">" if data[:4] == b"RIFX" else "<"
    place = 12
    while place + 8 <= len(data):
        name, size = struct.unpack(f"{order}4sI", data[place : place + 8])
        place += 8
        if name == b"data":
            if size not in _UNKNOWN_BYTES and place + size > len(data):
                raise _BadSoundError(
                    f"found {len(data) - place:,} bytes of samples, and its header says {size:,}: "
                    "the file is cut short"
                )
            return
        place += size + size % 2


def _read(file: Any, most: int) -> Array:
    """The samples as the mean of the channels; one more than `most` where there are more."""
    parts: list[Array] = []
    left = most + 1
    while left > 0:
        block: Array = file.read(min(_BLOCK, left), dtype="float32", always_2d=True)
        if not len(block):
            break
        parts.append(block.mean(axis=1) if block.shape[1] > 1 else block[:, 0])
        left -= len(block)
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _resampled(waveform: Array, rate: int, wanted: int) -> Array:
    from scipy import signal

    common = math.gcd(rate, wanted)
    made = signal.resample_poly(waveform, wanted // common, rate // common)
    return np.asarray(made, dtype=np.float32)
