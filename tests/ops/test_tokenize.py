"""Tokens by a real tokenizer, made here of six words."""

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from pipeline.batch.columns import Ragged
from pipeline.errors import SpecError
from pipeline.ops.step import apply, check_ready
from pipeline.spec.prepare import Tokenize

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "morning"]


@pytest.fixture(scope="module")
def tokenizer():
    """The JSON; it asks for padding and truncation, which must not count."""
    made = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding(length=50)
    made.enable_truncation(3)
    return made.to_str()


def run(tokenizer, *texts, **options):
    column = np.empty(len(texts), dtype=object)
    column[:] = texts
    step = Tokenize(column="ids", op="tokenize", of="x", tokenizer=tokenizer, **options)
    check_ready(step)
    made = apply(step, {"x": column})
    for name, (dtype, _) in step.types(("string", ())).items():
        rows = made[name].rows if isinstance(made[name], Ragged) else made[name]
        assert all(row.dtype == dtype for row in rows)
    return made


def test_texts_become_tokens_of_their_own_length(tokenizer):
    ids = run(tokenizer, "good morning", "night", "")["ids"]
    assert [row.tolist() for row in ids.rows] == [[2, 4, 5, 3], [2, 1, 3], [2, 3]]
    bare = run(tokenizer, "good", "", special_tokens=False)["ids"]
    assert [row.tolist() for row in bare.rows] == [[4], []]


def test_mask_tells_tokens_from_padding(tokenizer):
    made = run(tokenizer, "good morning", "good", mask="mask", max_length=5, pad=True, pad_id=9)
    assert made["ids"].tolist() == [[2, 4, 5, 3, 9], [2, 4, 3, 9, 9]]
    assert made["mask"].tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]]


def test_long_texts_are_cut_and_keep_their_end_mark(tokenizer):
    assert run(tokenizer, "good good good", max_length=3)["ids"].tolist() == [[2, 4, 3]]
    assert run(tokenizer, "good good good")["ids"].shape == (1, 5)


def test_file_that_is_no_tokenizer_is_refused_by_the_step(tokenizer):
    with pytest.raises(SpecError) as error:
        run('{"version": "1.0"}', "good")
    assert str(error.value).startswith("prepare step 'ids' (tokenize) cannot read its tokenizer")
