"""Texts as tokens: read by the folder's tokenizer, and padded with texts of about their length.

A row pays for the longest of its call. So a call's rows are put in the order of their lengths and
cut into groups, and the model is called once for each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.base import CUT_TEXTS
from pipeline.backends.failures import needs_package
from pipeline.backends.reasons import own_words
from pipeline.backends.text import as_str
from pipeline.backends.transformers.lengths import (
    check_attention,
    check_length,
    even_beyond,
    groups_by_length,
    limit,
)
from pipeline.backends.transformers.tasks.task import Network
from pipeline.batch import columns, rounding
from pipeline.batch.columns import Array, Column
from pipeline.errors import LoadError
from pipeline.spec.entries.entry import RECORD_KEY
from pipeline.spec.model import TransformersModel

Encoded = list[dict[str, list[int]]]
"""For each row the model's arguments, such as `input_ids`, without padding."""

_ABOUT = ("offset_mapping", "special_tokens_mask", RECORD_KEY, CUT_TEXTS)
"""What is known of a row, and a model does not take."""
_EXAMPLE_TOKENS = 512
"""Most of the texts by which a model is compiled."""
_TRIED_TOKENS = 140
"""Of the longest text by which padding is tried: more than some models see at once."""
_CALL_TOKENS = 256
"""A call of a model costs about as much as so many tokens; fewer are padded instead."""


class Texts:
    """The tokenizer of a folder.

    Args:
      path: the folder.
      spec: the model's entry.
      model: transformers' object.
      usual: most tokens where the entry says nothing; None for what the model can take.
      fill: whether each row is filled up to the most tokens.
      left: whether rows are filled up at their beginning, since the model goes on at their end.

    Attributes:
      tokenizer: transformers' object.
      max_length: most tokens of a row; None where neither model nor file sets a limit.
      pads: whether rows are filled up; else those of one length are computed together.
    """

    def __init__(
        self,
        path: Path,
        spec: TransformersModel,
        model: Any,
        usual: int | None = None,
        *,
        fill: bool = False,
        left: bool = False,
    ) -> None:
        self.tokenizer = read_tokenizer(path)
        # Right: else the first token, `cls`, would be padding.
        self.tokenizer.padding_side = "left" if left else "right"
        if left and self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        if spec.max_length is not None:
            check_length(path, model, spec.max_length)
        self._limit = limit(self.tokenizer, model)
        self.max_length = spec.max_length or usual or self._limit
        check_attention(path, model.config, self.max_length)
        self._even = even_beyond(model.config)
        self.pads = self.tokenizer.pad_token is not None
        self._fill = fill
        self._refuses = spec.truncation == "error"

    def need_offsets(self, path: Path) -> None:
        """Makes sure that the place of each token in its text can be told.

        Raises:
          LoadError: the tokenizer cannot tell it.
        """
        if not self.tokenizer.is_fast:
            raise LoadError(
                f"{path} has a tokenizer that cannot tell where its tokens are in the text; "
                "expected one with tokenizer.json"
            )

    def leave_room(self, path: Path, tokens: int) -> None:
        """Makes rows shorter where the model goes on after them.

        Args:
          path: the folder.
          tokens: most that the model writes.

        Raises:
          LoadError: there is no room for a row then.
        """
        if self._limit is None:
            return
        most = self._limit - tokens
        if most < 1:
            raise LoadError(
                f"{path} takes {self._limit} tokens together with those it writes, and may write "
                f"{tokens}; expected a smaller `max_new_tokens`"
            )
        self.max_length = min(self.max_length or most, most)

    def encode(
        self,
        *texts: Sequence[str],
        cut: str = "longest_first",
        offsets: bool = False,
        special: bool = True,
    ) -> Encoded:
        """The tokens of each row.

        Args:
          texts: of the rows; for pairs, the second ones besides.
          cut: which text of a pair is cut, by transformers' names.
          offsets: whether to have `offset_mapping` and `special_tokens_mask`, too.
          special: whether to put begin and end around each text, as the model was trained.

        Raises:
          ValueError: a row is longer than the model takes, and is not to be cut.
        """
        if self._refuses:
            self._refuse_long(self.tokenizer(*texts)["input_ids"])
        cut = "do_not_truncate" if self.max_length is None else cut
        more = dict.fromkeys(("return_offsets_mapping", "return_special_tokens_mask"), offsets)
        made = self.tokenizer(
            *texts,
            truncation=cut,
            max_length=self.max_length,
            add_special_tokens=special,
            **more,
        )
        names = list(made.keys())
        rows = [
            dict(zip(names, row, strict=True))
            for row in zip(*(made[name] for name in names), strict=True)
        ]
        for number, row in enumerate(rows):
            if len(row["input_ids"]) == self.max_length and self._is_cut(made, number, texts):
                row[CUT_TEXTS] = [1]
        return rows

    def _is_cut(self, made: Any, number: int, texts: Sequence[Sequence[str]]) -> bool:
        """Whether a row that is as long as rows may be was longer."""
        if made.encodings is not None:
            return bool(made.encodings[number].overflowing)
        whole = self.tokenizer(*(of[number] for of in texts))["input_ids"]
        return len(whole) > len(made["input_ids"][number])

    def padded(self, rows: Encoded) -> dict[str, Any]:
        """Rows as tensors, each filled up to the longest."""
        how: dict[str, Any] = {"padding": self.pads}
        if self._fill:
            how = {"padding": "max_length", "max_length": self.max_length}
        given = [{key: row[key] for key in row if key not in _ABOUT} for row in rows]
        return dict(self.tokenizer.pad(given, **how, return_tensors="pt"))

    def examples(self) -> list[dict[str, Any]]:
        """Arguments of the model for two texts and for one, short ones and long ones."""
        long = self.made_up(_EXAMPLE_TOKENS)
        short = _beginning(long, len(long["input_ids"]) // 2)
        groups = [[long, long], [short, short], [long], [short]]
        if self.pads:
            groups.append([long, short])
        return [self.padded(rows) for rows in groups]

    def try_padding(self, network: Network, call: Callable[[Encoded], Any] | None = None) -> None:
        """Has rows filled up only if the model gives a filled one what it gives it alone.

        To be called where the device computes.

        Args:
          network: the model.
          call: rows -> what is compared, a tensor with a value for each row, or for each row's
            tokens; the first of the model's results unless given.
        """
        if not self.pads:
            return
        call = call or (lambda rows: network(self.padded(rows))[0])
        long = self.made_up()
        longest = len(long["input_ids"])
        # Of one padding is near, where a model sees its neighbours; of one it begins later.
        shorter = [_beginning(long, count) for count in (2, longest * 4 // 7)]
        rows = [row for row in shorter if len(row["input_ids"]) < longest]
        if not rows:  # of a tokenizer that knows no "a", for one
            self.pads = False
            return
        together = network.arrays({"made": call([*rows, long]).float()})["made"]
        for row, found in zip(rows, together, strict=False):
            (expected,) = network.arrays({"made": call([row]).float()})["made"]
            if rounding.worst(found[: len(expected)], expected, network.tolerance) is not None:
                self.pads = False

    def made_up(self, most: int = _TRIED_TOKENS) -> dict[str, list[int]]:
        """A text of about so many tokens."""
        most = min(self.max_length or most, most)
        return dict(self.tokenizer("a " * most, truncation=True, max_length=most))

    def in_groups(
        self,
        rows: Encoded,
        call: Callable[[Encoded], Mapping[str, Column]],
        most: int | None = None,
        calls: int = 1,
    ) -> dict[str, Column]:
        """The outputs of rows that are computed in groups of about the same length.

        Args:
          rows: those of a call.
          call: the rows of a group -> its outputs.
          most: rows of a group; None for any number.
          calls: of the model for a group, one for each token that it writes.

        Raises:
          ValueError: a row is empty. Alone it would fail, and among others be made of padding.
        """
        if not all(row["input_ids"] for row in rows):
            raise ValueError("the text has no tokens")
        spare = calls * _CALL_TOKENS if self.pads else 0
        even = None if self._even is None else self._even + 1 - calls
        groups = groups_by_length([len(row["input_ids"]) for row in rows], spare, most, even)
        parts = [call([rows[i] for i in group]) for group in groups]
        back = np.argsort(np.concatenate(groups))
        return {
            name: columns.take(columns.concatenate_ragged([part[name] for part in parts]), back)
            for name in parts[0]
        }

    def _refuse_long(self, rows: Sequence[Sequence[int]]) -> None:
        most = self.max_length
        for row in rows:
            if most is not None and len(row) > most:
                raise ValueError(f"the text has {len(row)} tokens, and the model takes {most}")


def read_tokenizer(path: Path) -> Any:
    """The tokenizer of a folder.

    Raises:
      LoadError: it has none; transformers would make up one that knows no words.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
    except (ImportError, ValueError) as error:
        # Where sentencepiece cannot be imported, transformers takes its files for another's.
        if not any(name in str(error).lower() for name in ("sentencepiece", "tiktoken")):
            raise
        with needs_package("sentencepiece", extra="transformers"):
            raise ImportError(_why_no_pieces(error)) from error
    files = ["tokenizer.json", *dict.fromkeys(tokenizer.vocab_files_names.values())]
    if not any((path / name).is_file() for name in files):
        raise LoadError(f"{path} has no file of its tokenizer, expected {' or '.join(files)}")
    # `padded` fills up rows that are encoded: that is the point here, so no advice against it.
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    return tokenizer


def _why_no_pieces(error: Exception) -> str:
    """Why the tokenizer's file cannot be read."""
    try:
        from sentencepiece import sentencepiece_model_pb2  # noqa: F401
    except Exception as reason:  # of protobuf, where sentencepiece was made with a later one
        error = reason
    return f"the tokenizer is written for it: {own_words(error)}"


def _beginning(row: Mapping[str, list[int]], count: int) -> dict[str, list[int]]:
    """So many first tokens of a row, and its last one."""
    return {name: [*values[:count], *values[-1:]] for name, values in row.items()}


def cut_rows(rows: Encoded) -> Array:
    """Which of some rows were cut to what the model takes."""
    return np.array([CUT_TEXTS in row for row in rows], dtype=bool)


def strings(array: Array) -> list[str]:
    """A column of text as `str`."""
    listed: list[str] = as_str(array).tolist()
    return listed
