"""Waveforms as a model takes them: prepared by the folder's own feature extractor.

Each is prepared by itself, and only those of one length are computed together: extractors measure
what they are given, padding too, and few models leave padding out (a wav2vec2 with group norm gives
a padded row other letters).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.batch.columns import Array
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import ColumnInput, TransformersModel

_FILES = ("preprocessor_config.json", "processor_config.json")
_NAMING_FILES = (*_FILES, "tokenizer_config.json")
_LOUDEST = 16.0
"""Beyond it nobody's float waveform goes; 16-bit integers that nobody divided do at once."""

Prepared = Mapping[str, Any]
"""The arguments of a model for one waveform, as tensors with a first axis of one."""


class Waveforms:
    """The feature extractor of a folder.

    Args:
      path: the folder.
      spec: the model's entry.
      cut: whether the extractor cuts longer waveforms, and `truncation` says whether it may.

    Attributes:
      extractor: transformers' object.
      rate: samples a second that the model was trained with.
      most: most samples that the extractor takes; None for any number.
      tensors: the inputs.
      optional: those that need not be bound.
    """

    optional = frozenset({"sampling_rate"})

    def __init__(self, path: Path, spec: TransformersModel, *, cut: bool = True) -> None:
        self.extractor = _read_extractor(path)
        self.rate = int(self.extractor.sampling_rate)
        self.most = _most_samples(self.extractor)
        self.tensors = (
            TensorSpec("waveform", "float32", (None, None), usual_length=self.rate),
            TensorSpec("sampling_rate", "int64", (None,), only=self.rate),
        )
        self._refuses = cut and spec.truncation == "error"
        if not spec.is_unbound:
            _check_entry(path, spec, self.rate)

    def prepared(self, inputs: Mapping[str, Array], **how: Any) -> list[Prepared]:
        """The arguments of the model for each row of a call.

        Args:
          inputs: `waveform` [row, sample], and `sampling_rate`, if bound.
          how: further arguments of the extractor.

        Raises:
          ValueError: a row has another rate, no samples, or no sound that a model could read.
        """
        for rate in np.unique(inputs.get("sampling_rate", [])):
            if rate != self.rate:
                raise ValueError(
                    f"found the sampling_rate {rate}, and the model was trained with {self.rate}; "
                    "`resample: true` of `op: decode_audio` brings files to one rate"
                )
        waveforms = inputs["waveform"]
        _check_samples(waveforms)
        if self._refuses:
            self.refuse_long(waveforms.shape[1], "without `truncation: error` it is cut")
        return [
            dict(self.extractor(row, sampling_rate=self.rate, return_tensors="pt", **how))
            for row in waveforms
        ]

    def cuts(self, samples: int) -> bool:
        """Whether the extractor cuts waveforms of so many samples."""
        return self.most is not None and samples > self.most

    def refuse_long(self, samples: int, way_out: str) -> None:
        """Refuses waveforms of more samples than the extractor takes.

        Raises:
          ValueError: there are more.
        """
        if self.most is not None and self.cuts(samples):
            raise ValueError(
                f"the waveform has {samples / self.rate:.1f} seconds, and the model takes "
                f"{self.most / self.rate:.1f}; {way_out}"
            )


def stacked(rows: Sequence[Prepared]) -> dict[str, Any]:
    """The arguments of a model for several waveforms of one length."""
    import torch

    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}


def refuse_language_model(path: Path) -> None:
    """Refuses a folder whose texts are made by more than its model.

    Raises:
      LoadError: it has a decoder with a language model.
    """
    found = [name for name in ("alphabet.json", "language_model") if (path / name).exists()]
    for name in _NAMING_FILES:
        file = path / name
        if file.is_file() and str(_json(file).get("processor_class", "")).endswith("WithLM"):
            found.append(f"`processor_class` in {name}")
    if found:
        raise LoadError(
            f"{path} has a decoder with a language model ({', '.join(found)}), which this project "
            "does not run, and its texts would be others; expected a folder without: save model, "
            "feature extractor and tokenizer alone, or take `framework: python`"
        )


def _read_extractor(path: Path) -> Any:
    from transformers import AutoFeatureExtractor

    files = [path / name for name in _FILES if (path / name).is_file()]
    if not files:
        raise LoadError(
            f"{path} has no file of its feature extractor, expected {' or '.join(_FILES)}; "
            "save it beside the model: its save_pretrained writes it"
        )
    for file in files:
        if (kind := _json(file).get("image_processor_type")) is not None:
            # transformers would make up a feature extractor that suits the model.
            raise LoadError(f"{file} is of the image processor {kind}, which reads no sound")
    extractor = AutoFeatureExtractor.from_pretrained(
        path, local_files_only=True, trust_remote_code=False
    )
    if getattr(extractor, "sampling_rate", None) is None:
        raise LoadError(
            f"{path} has the feature extractor {type(extractor).__name__}, which reads no sound"
        )
    if getattr(extractor, "dither", 0.0):
        raise LoadError(
            f"{path} has a feature extractor with `dither: {extractor.dither}`: it adds noise, and "
            "a record's retry would get another text; expected `dither: 0.0` in its file"
        )
    return extractor


def _check_entry(path: Path, spec: TransformersModel, rate: int) -> None:
    bound, said = spec.inputs.get("sampling_rate"), spec.sampling_rate
    if bound is not None and not isinstance(bound, ColumnInput):
        raise LoadError(
            f"{path}: input 'sampling_rate' is a constant, expected a column; the key "
            f"`sampling_rate` says it of all waveforms"
        )
    if said is None and bound is None:
        raise LoadError(
            f"{path} was trained with {rate} samples a second, and nothing says what the waveforms "
            f"have; expected the key `sampling_rate: {rate}` in the model's entry, or the input "
            "`sampling_rate`"
        )
    if said is not None and bound is not None:
        raise LoadError(
            f"{path}: found the key `sampling_rate` and the input 'sampling_rate', expected one"
        )
    if said not in (None, rate):
        raise LoadError(
            f"{path} was trained with {rate} samples a second, found `sampling_rate: {said}` in "
            f"the model's entry; `op: decode_audio` brings files to one rate, with `sampling_rate: "
            f"{rate}` and `resample: true`"
        )
    waveform = spec.inputs.get("waveform")
    if isinstance(waveform, ColumnInput) and waveform.pad_value is not None:
        raise LoadError(
            f"{path}: input 'waveform' has `pad_value`, but a waveform filled up among others is "
            "another one; expected none: those of one length are computed together"
        )


def _check_samples(waveforms: Array) -> None:
    if not waveforms.shape[1]:
        raise ValueError("the waveform has no samples")
    loudest = np.abs(waveforms).max()
    if not np.isfinite(loudest):
        raise ValueError("the waveform has samples that are no numbers")
    if loudest > _LOUDEST:
        raise ValueError(
            f"the waveform has samples up to {loudest:g}, expected -1 to 1: 16-bit integers are "
            "divided by 32768"
        )


def _most_samples(extractor: Any) -> int | None:
    """What is longer, an extractor cuts."""
    samples: int | None = getattr(extractor, "n_samples", None)  # Whisper's
    if samples is None and hasattr(extractor, "num_mel_bins") and hasattr(extractor, "max_length"):
        # The spectrogram transformer's: frames of 400 samples, at each 160th.
        samples = 400 + 160 * int(extractor.max_length) - 1
    return samples


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise LoadError(f"{file} is not JSON: {error}") from error
    return found if isinstance(found, dict) else {}
