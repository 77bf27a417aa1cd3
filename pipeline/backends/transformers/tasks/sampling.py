"""Tokens drawn by chance, but by the record: a retry draws the same ones.

A token is drawn by one number between 0 and 1 along the summed probabilities of all tokens. The
number is a hash of the model's name, the record's id, the number of the text and that of the token.
So it does not matter in which company, process or order a record is computed; only where rounding
moves a probability across the number is another token drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.backends.transformers.tasks.texts import strings
from pipeline.batch.columns import Array
from pipeline.errors import LoadError
from pipeline.spec.entries.entry import RECORD_KEY
from pipeline.spec.model import TransformersModel

_BITS = 52
"""So many of a hash: the number stays below 1 as a float."""
_OTHERS = ("top_h", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
_NO_EFFECT = (None, 0.0, 1.0)
_USUAL_TOP_K = 50
"""What transformers has where nothing says it."""


class Sampling:
    """How a model's tokens are drawn: by the entry, else the folder, else transformers' defaults.

    Raises:
      LoadError: the folder names beams, or narrows the choice in a way that is not known here.
    """

    def __init__(self, path: Path, spec: TransformersModel, config: Any) -> None:
        file = path / "generation_config.json"
        if spec.num_beams is None and (config.num_beams or 1) > 1:
            raise LoadError(
                f"{file} has `num_beams: {config.num_beams}`, and tokens are drawn without beams; "
                "expected `num_beams: 1` in the model's entry"
            )
        for key in _OTHERS:
            if getattr(config, key, None) not in _NO_EFFECT:
                raise LoadError(
                    f"{file} has `{key}: {getattr(config, key)}`, by which tokens cannot be drawn "
                    "here; expected temperature, top_k and top_p only"
                )
        self._name = spec.name
        said = {
            key: getattr(config, key) if getattr(spec, key) is None else getattr(spec, key)
            for key in ("temperature", "top_k", "top_p")
        }
        self._temperature = 1.0 if said["temperature"] is None else float(said["temperature"])
        self._top_k = _USUAL_TOP_K if said["top_k"] is None else int(said["top_k"])
        self._top_p = 1.0 if said["top_p"] is None else float(said["top_p"])

    def processors(self, texts: Sequence[tuple[str, int]]) -> Any:
        """What draws, for one call of `generate` that is greedy otherwise.

        Args:
          texts: of each row the id of its record, and which of the record's texts it is.
        """
        import transformers

        narrowed = transformers.LogitsProcessorList()
        if self._temperature != 1.0:
            narrowed.append(transformers.TemperatureLogitsWarper(self._temperature))
        if self._top_k:
            narrowed.append(transformers.TopKLogitsWarper(self._top_k))
        if self._top_p < 1.0:
            narrowed.append(transformers.TopPLogitsWarper(self._top_p))
        named = [(f"{self._name}\0{record}", number) for record, number in texts]
        return transformers.LogitsProcessorList([*narrowed, _Draw(named)])


class _Draw:
    """Leaves one token of each row."""

    def __init__(self, texts: Sequence[tuple[str, int]]) -> None:
        self._texts = texts
        self._token = 0

    def __call__(self, ids: Any, scores: Any) -> Any:
        import torch

        summed = scores.double().softmax(-1).cumsum(-1)
        numbers = [chance(record, number, self._token) for record, number in self._texts]
        self._token += 1
        drawn = torch.tensor(numbers, dtype=torch.float64, device=scores.device)[:, None]
        chosen = torch.searchsorted(summed, drawn * summed[:, -1:], right=True)
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen, 0.0)


def record_keys(inputs: Mapping[str, Array]) -> list[str]:
    """The ids of the rows' records; none where no tokens are drawn."""
    return strings(inputs[RECORD_KEY]) if RECORD_KEY in inputs else []


def chance(record: str, text: int, token: int) -> float:
    """The number from 0 to below 1 that draws a token of one of the texts of a record."""
    named = f"{record}\0{text}\0{token}".encode(errors="surrogatepass")
    digest = hashlib.blake2b(named, digest_size=8).digest()
    return (int.from_bytes(digest) >> (64 - _BITS)) / 2.0**_BITS
