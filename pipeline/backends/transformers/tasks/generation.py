"""Texts that a model writes, token by token: options of a call, and tokens to texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.backends.transformers.tasks.sampling import Sampling
from pipeline.backends.transformers.tasks.task import Network
from pipeline.batch.columns import Column
from pipeline.batch.tensors import TensorSpec
from pipeline.errors import LoadError
from pipeline.spec.model import TransformersModel

_UNKNOWN = {
    "assistant_early_exit": "an early exit",
    "cache_implementation": "numbers of fewer bits in the cache",
    "constraints": "constraints",
    "diversity_penalty": "groups of beams",
    "dola_layers": "DoLa",
    "force_words_ids": "constraints",
    "max_time": "a limit of time, by which a row may have another text each time",
    "num_beam_groups": "groups of beams",
    "penalty_alpha": "contrastive search",
    "prompt_lookup_num_tokens": "a look-up in the prompt, of single rows",
    "token_healing": "another end of the prompt",
}
"""Keys of generation_config.json that ask for what is not known here."""
_NOT_ASKED = (None, 0, 0.0, 1, False)
_USUAL_TOKENS = 20
"""What transformers writes where nothing says how much."""


class Writer:
    """Makes a model write: greedy, by beams, or by what chance has the record's id draw.

    A row has the same text each time.

    Args:
      path: the folder.
      spec: the model's entry.
      network: the model.
      tokenizer: of the folder.
      usual: options of `generate` where the entry has none.

    Attributes:
      new_tokens: most tokens that are written.
      outputs: `text`, the best one of a row, and `texts`.
    """

    def __init__(
        self,
        path: Path,
        spec: TransformersModel,
        network: Network,
        tokenizer: Any,
        usual: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self._options = {**usual, **spec.generate_options}
        config = network.model.generation_config
        _check_method(path, {**config.to_diff_dict(), **usual})
        if spec.stop:
            self._options["stop_strings"] = list(spec.stop)
        if spec.stop or config.stop_strings:
            self._options["tokenizer"] = tokenizer
        self._tokenizer = tokenizer
        if config.do_sample and spec.do_sample is None:
            raise LoadError(
                f"{path / 'generation_config.json'} has `do_sample: true`, so tokens are drawn by "
                "chance; expected the key `do_sample` in the model's entry: false, or true, where "
                "the task knows it, and the id of a record decides"
            )
        self._sampling = Sampling(path, spec, config) if spec.do_sample else None
        self.new_tokens = spec.max_new_tokens or config.max_new_tokens or _USUAL_TOKENS
        self._count = spec.num_return_sequences or config.num_return_sequences or 1
        beams = self._options.get("num_beams") or config.num_beams or 1
        if self._sampling is not None:
            # One text for each row of a call: what a record gets more often is repeated.
            self._options |= {"do_sample": False, "num_beams": 1, "num_return_sequences": 1}
        elif self._count > beams:
            raise LoadError(
                f"{path} would return {self._count} texts of {beams} beam(s) for a row; expected "
                "`num_return_sequences` of at most `num_beams`"
            )
        self.outputs = (
            TensorSpec("text", "string", (None,)),
            TensorSpec("texts", "string", (None, self._count)),
        )

    def written(
        self,
        network: Network,
        arguments: Mapping[str, Any],
        skip: int = 0,
        keys: Sequence[str] = (),
    ) -> Any:
        """The texts [row, text] for arguments of the model, those of the device.

        Args:
          network: the model.
          arguments: of its `generate`.
          skip: tokens at the beginning of each text that were given.
          keys: of the rows the ids of their records, where tokens are drawn by them.
        """
        drawn = {}
        if self._sampling is not None:
            texts = [(key, number) for key in keys for number in range(self._count)]
            drawn["logits_processor"] = self._sampling.processors(texts)
            arguments = {n: t.repeat_interleave(self._count, 0) for n, t in arguments.items()}
        options = {**self._options, **drawn, "return_dict_in_generate": False}
        ids = network.model.generate(**arguments, **options)
        texts = self._tokenizer.batch_decode(ids[:, skip:], skip_special_tokens=True)
        return np.array(texts, dtype=object).reshape(-1, self._count)

    def scores(self, network: Network, arguments: Mapping[str, Any]) -> Any:
        """The scores [row, score] of the first two tokens, as shares of a row's largest one.

        Before the second one, each row has the same first one.
        """
        import torch

        token = int(arguments["input_ids"][-1, 0])
        made = network.model.generate(
            **arguments,
            **{name: self._options[name] for name in ("tokenizer",) if name in self._options},
            max_new_tokens=min(2, self.new_tokens),
            num_beams=1,
            num_return_sequences=1,
            do_sample=False,
            prefix_allowed_tokens_fn=lambda row, ids: [token],
            output_logits=True,
            return_dict_in_generate=True,
        )
        scores = torch.cat(made.logits, dim=1).float()
        return scores / scores.abs().amax(dim=1, keepdim=True).clamp(min=1.0)

    def columns(self, texts: Any) -> dict[str, Column]:
        """The outputs for texts [row, text]."""
        return {"text": texts[:, 0], "texts": texts}


def _check_method(path: Path, options: Mapping[str, Any]) -> None:
    """Refuses ways of writing that are not known here.

    Raises:
      LoadError: the folder asks for one.
    """
    for key, meaning in _UNKNOWN.items():
        asked = options.get(key)
        if key == "cache_implementation" and asked != "quantized":
            continue
        if asked is True or asked not in _NOT_ASKED:  # where 1 equals True
            raise LoadError(
                f"{path / 'generation_config.json'} asks with `{key}: {asked}` for "
                f"{meaning}, which is not known here; expected greedy search, beams or sampling: "
                "remove the key"
            )
