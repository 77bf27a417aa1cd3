"""Sound files made on the spot, for tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

RATE = 16000


def tone(samples: int, pitch: float = 220.0, rate: int = RATE, loudness: float = 0.5) -> np.ndarray:
    """A sine, float32 [samples]."""
    time = np.arange(samples) / rate
    return (loudness * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def noise(samples: int, seed: int) -> np.ndarray:
    """What rustles and hums, float32 [samples], and differs with the seed."""
    made = np.cumsum(np.random.default_rng(seed).normal(size=samples))
    loudness = 1.0 - 0.15 * (seed % 5)
    return np.asarray(loudness * made / np.abs(made).max(), np.float32)


def encoded(samples: np.ndarray, kind: str = "WAV", rate: int = RATE, **options: Any) -> bytes:
    """Samples [samples] or [samples, channels] as the bytes of a file."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, **options)
    return file.getvalue()
