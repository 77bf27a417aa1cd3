"""Prepare steps over a batch: every row ends up once, in bounded parts, without ballast."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch import columns
from pipeline.batch.batch import Batch, Reject
from pipeline.batch.block import Origin
from pipeline.batch.columns import Ragged
from pipeline.ops.batches import prepare_batch
from pipeline.spec.prepare import Cast, DecodeImage, OneHot, Resize
from tests.support.images import column, encoded, gradient

IMAGES = [
    DecodeImage(column="raw", op="decode_image", of="file"),
    Resize(column="pixels", op="resize", of="raw", height=4, width=4),
]
GOOD, BAD = encoded(gradient(6, 5)), b"no image"


def batch(*files, **more):
    ids = tuple(f"r{i}" for i in range(len(files)))
    return Batch(
        ids=ids,
        payloads=tuple(i.encode() for i in ids),
        columns={"file": column(*files), "number": np.arange(len(files))},
        pass_through=tuple(b"{}" for _ in ids),
        origins=tuple(Origin(i, {}) for i in range(len(ids))),
        **more,
    )


def test_bad_rows_are_rejects_that_name_the_step_and_cost_no_other_row():
    earlier = Reject(b"", None, "decode", "empty", "")
    files = [GOOD] * 9 + [BAD] + [GOOD] * 9 + [b""]
    (part,) = prepare_batch(batch(*files, rejects=(earlier,)), IMAGES, {"pixels", "number"})
    assert part.columns.keys() == {"pixels", "number"}
    assert part.columns["pixels"].shape == (18, 4, 4, 3)
    assert part.columns["number"].tolist() == [i for i in range(19) if i != 9]
    assert [r.record_id for r in part.rejects] == [None, "r9", "r19"]
    assert part.rejects[1].payload == b"r9"
    assert part.rejects[1].stage == "prepare"
    assert part.rejects[1].error_type == "bad_image"
    assert part.rejects[1].error_message.startswith(
        "prepare step 'raw' (decode_image of 'file'): found 8 bytes"
    )


def test_rows_that_fail_in_different_steps_keep_their_own_reasons():
    steps = [
        Cast(column="n", op="cast", of="word", dtype="int64"),
        OneHot(column="hot", op="one_hot", of="n", depth=3),
    ]
    words = np.array(["1", "x", "9", "0"], dtype=object)
    read = Batch(("a", "b", "c", "d"), (b"",) * 4, {"word": words})
    (part,) = prepare_batch(read, steps, {"hot"})
    assert part.columns["hot"].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert [(r.record_id, r.error_type) for r in part.rejects] == [
        ("b", "bad_value"),
        ("c", "unknown_label"),
    ]


def test_batch_without_a_good_row_is_all_rejects():
    (part,) = prepare_batch(batch(BAD, BAD), IMAGES, {"pixels"})
    assert len(part) == 0
    assert [r.record_id for r in part.rejects] == ["r0", "r1"]


def test_batch_without_rows_passes():
    empty = Batch((), (), {"file": column()}, rejects=(Reject(b"", None, "decode", "empty", ""),))
    assert list(prepare_batch(empty, IMAGES, {"pixels"})) == [empty]


def test_images_that_stay_ragged_are_kept_as_such():
    other = encoded(gradient(3, 9))
    (part,) = prepare_batch(batch(*[GOOD] * 8, *[other] * 8), IMAGES[:1], {"raw"})
    assert isinstance(part.columns["raw"], Ragged)
    assert [row.shape for row in part.columns["raw"].rows] == [(6, 5, 3)] * 8 + [(3, 9, 3)] * 8


@given(good=st.lists(st.booleans(), min_size=1, max_size=40), max_part_bytes=st.integers(1, 3000))
def test_parts_together_are_the_batch(good, max_part_bytes):
    files = [GOOD if ok else BAD for ok in good]
    earlier = (Reject(b"", "before", "decode", "empty", ""),)
    whole = batch(*files, rejects=earlier)
    parts = list(prepare_batch(whole, IMAGES, {"pixels", "number"}, max_part_bytes))
    kept = [i for i, ok in enumerate(good) if ok]
    assert [i for part in parts for i in part.ids] == [f"r{i}" for i in kept]
    rejected = [r.record_id for part in parts for r in part.rejects]
    assert rejected == ["before", *(f"r{i}" for i, ok in enumerate(good) if not ok)]
    full = [part for part in parts if len(part)]
    if kept:
        numbers = columns.concatenate([part.columns["number"] for part in full])
        assert numbers.tolist() == kept
    for part in full:
        assert len(part.pass_through) == len(part.origins) == len(part)
        assert [o.event_time_us for o in part.origins] == part.columns["number"].tolist()
        # A part is closed with the four rows that fill it.
        assert part.nbytes < max_part_bytes + 4 * (4 * 4 * 3 + 8)
