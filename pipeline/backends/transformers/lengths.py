"""How many tokens a text may have, and which texts are computed together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.batch.columns import Array
from pipeline.errors import LoadError

_NO_LIMIT = 1_000_000
"""Tokenizers without a limit say 10 to the power of 30; some models say -1."""
_PLACES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")
"""Names of the table that has a vector for each place of a token, as models have it."""


def limit(tokenizer: Any, model: Any) -> int | None:
    """Most tokens of a text, by what tokenizer and model say; None where neither does."""
    known = (tokenizer.model_max_length, _places(model))
    return min((int(n) for n in known if n and 0 < n < _NO_LIMIT), default=None)


def check_length(path: Path, model: Any, max_length: int) -> None:
    """Refuses a length of which the last tokens would have no place.

    Raises:
      LoadError: the model has a table of fewer places.
    """
    places = _places(model)
    if places is not None and max_length > places and _tables(model):
        raise LoadError(
            f"{path} takes {places} tokens, found `max_length: {max_length}` in the model's entry"
        )


def check_attention(path: Path, config: Any, max_length: int | None) -> None:
    """Refuses a model whose results depend on other rows or calls, for texts up to that length.

    BigBird leaves its sparse attention for good at the first call of short texts. A `dynamic` rope
    counts places by the longest row of a call, where that is longer than the trained length.

    Raises:
      LoadError: it would.
    """
    words = config.get_text_config()
    if any("dynamic" in str(rope.get("rope_type")) for rope in _ropes(words)):
        most = words.max_position_embeddings
        if max_length is None or max_length > most:
            raise LoadError(
                f"{path / 'config.json'} has `rope_type: dynamic`, by which a text of more than "
                f"{most} tokens changes the results of others; found {max_length}, expected at "
                f"most `max_length: {most}` in the model's entry"
            )
    if getattr(config, "attention_type", None) != "block_sparse":
        return
    shortest = (5 + 2 * config.num_random_blocks) * config.block_size
    if max_length is None or max_length > shortest:
        raise LoadError(
            f"{path / 'config.json'} has `attention_type: block_sparse`, which the model leaves "
            f"for good at the first texts of at most {shortest} tokens: results would depend on "
            f"the order of calls; expected `original_full` there, or at most `max_length: "
            f"{shortest}` in the model's entry"
        )


def even_beyond(config: Any) -> int | None:
    """Tokens beyond which the longest row of a call changes the others'; None where none does.

    Models with `longrope` count places in another way from there on.
    """
    found = [
        rope.get("original_max_position_embeddings")
        for rope in _ropes(config.get_text_config())
        if rope.get("rope_type") == "longrope"
    ]
    return min((int(n) for n in found if n), default=None)


def _ropes(config: Any) -> list[dict[str, Any]]:
    """How a model counts places, for all of its layers or for each kind of them."""
    ropes = getattr(config, "rope_parameters", None) or {}
    return [ropes, *(rope for rope in ropes.values() if isinstance(rope, dict))]


def groups_by_length(
    lengths: Sequence[int], spare: int, most: int | None = None, even: int | None = None
) -> list[Array]:
    """The rows by length, cut where padding would cost more than another call.

    Args:
      lengths: tokens of each row.
      spare: tokens of padding that a group may have.
      most: rows of a group; None for any number.
      even: rows longer than this are with those of their own length only; None for none.

    Returns:
      groups of row indices, the shortest rows first.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    groups: list[Array] = []
    end = len(order)
    while end:
        start, longest, padding = end - 1, lengths[order[end - 1]], 0
        room = spare if even is None or longest <= even else 0
        while start and (most is None or end - start < most):
            padding += longest - lengths[order[start - 1]]
            if padding > room:
                break
            start -= 1
        groups.append(order[start:end])
        end = start
    return groups[::-1]


def _places(model: Any) -> int | None:
    config = model.config
    words = getattr(config, "text_config", config)  # of a model for pictures and texts
    places = getattr(words, "max_position_embeddings", None)
    if not places or places < 0:
        return None
    # RoBERTa counts from behind the place of padding; FSMT's table has as many rows more.
    behind_padding = (
        len(table.weight) - table.padding_idx - 1
        for table in _tables(model)
        if table.padding_idx is not None
    )
    return int(min([places, *behind_padding]))


def _tables(model: Any) -> list[Any]:
    """Those with a row for each place: of torch, or I-BERT's own."""
    return [
        part
        for name, part in model.named_modules()
        if name.endswith(_PLACES) and hasattr(part, "padding_idx") and hasattr(part, "weight")
    ]
