"""Every column operation: one line for what computes a step of the ensemble file.

Which columns a step reads and makes, of which types, and the error type of rows that it cannot
compute is in its class in :mod:`pipeline.spec.prepare` or :mod:`pipeline.spec.combine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.batch.columns import BatchColumn, Column
from pipeline.ops import (
    hashes,
    images,
    labels,
    missing,
    numeric,
    raw,
    reduction,
    scores,
    shapes,
    sounds,
    text,
    times,
)
from pipeline.spec import combine, prepare
from pipeline.spec.op import Op


def _is_ready(step: Any) -> None:
    """Needs nothing beside its keys."""


@dataclass(frozen=True)
class Operation:
    """What computes the steps of one class.

    Attributes:
      compute: a step, then the columns that it reads, in order -> the column that it makes, or a
        tuple of several. A pure function, which computes each row by itself and changes no
        argument. It raises RowsError for rows that it cannot compute, without the step's name. The
        column is masked where the step makes values missing, never if it is `by_shape`.
      compute_masked: the same for dense columns of which some may be masked. Without it, and where
        lengths vary, a row lacks the results if it lacks a column that is read.
      by_shape: whether it takes dense columns only. It is called with rows of one shape, whose
        types were checked, since lengths may vary; also with no row.
      check_ready: raises ValueError where the step cannot run in this process.
      rows_at_once: most rows to compute together; None for as many as there are.
    """

    compute: Callable[..., BatchColumn | tuple[Column, ...]]
    compute_masked: Callable[..., Column] | None = None
    by_shape: bool = False
    check_ready: Callable[[Any], None] = _is_ready
    rows_at_once: int | None = None


OPERATIONS: Mapping[type[Op], Operation] = {
    prepare.Concat: Operation(shapes.concat, shapes.concat_with_gaps, by_shape=True),
    prepare.Fill: Operation(missing.fill, missing.fill),
    prepare.IsMissing: Operation(missing.is_missing, missing.is_missing),
    # A decoded photograph is ten times its file.
    prepare.DecodeImage: Operation(
        images.decode, check_ready=images.check_installed, rows_at_once=4
    ),
    prepare.Resize: Operation(images.resize, check_ready=images.check_installed),
    prepare.CenterCrop: Operation(images.center_crop),
    prepare.Normalize: Operation(images.normalize),
    # One at a time: minutes of sound are as large as a photograph.
    prepare.DecodeAudio: Operation(
        sounds.decode, check_ready=sounds.check_installed, rows_at_once=1
    ),
    prepare.DecodeRaw: Operation(raw.decode),
    prepare.Scale: Operation(numeric.scale),
    prepare.Clip: Operation(numeric.clip),
    prepare.Log1p: Operation(numeric.log1p),
    prepare.Bucketize: Operation(numeric.bucketize),
    prepare.OneHot: Operation(labels.one_hot, check_ready=labels.check_labels),
    prepare.Ordinal: Operation(labels.ordinal, check_ready=labels.check_labels),
    prepare.Hash: Operation(hashes.bucket, check_ready=hashes.check_installed),
    prepare.ParseTime: Operation(times.parse),
    prepare.Cast: Operation(numeric.cast),
    prepare.Lower: Operation(text.lower),
    prepare.Pad: Operation(shapes.pad),
    prepare.Tokenize: Operation(text.tokenize, check_ready=text.check_tokenizer),
    combine.Reduce: Operation(reduction.reduce, by_shape=True),
    combine.WeightedMean: Operation(reduction.weighted_mean, by_shape=True),
    combine.Vote: Operation(reduction.vote, by_shape=True),
    combine.ScoreOp: Operation(scores.activate, by_shape=True),
    combine.TopK: Operation(scores.top_k, by_shape=True),
    combine.Threshold: Operation(scores.threshold, by_shape=True),
    combine.Round: Operation(numeric.round_decimals, by_shape=True),
    combine.Concat: Operation(shapes.concat, shapes.concat_with_gaps, by_shape=True),
    combine.Lookup: Operation(labels.lookup, by_shape=True),
}
