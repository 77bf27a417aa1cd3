"""Questions answered by a part of a text; the expected answers are computed window by window.

The pipeline of transformers 4.57, which version 5 dropped, gave the same answers to these.
"""

import numpy as np
import pytest

from pipeline.errors import LoadError
from tests.support import text_models
from tests.support.specs import load, model_spec

QUESTIONS = ["what is red", "where is the circle", "how bad is it"]
CONTEXTS = [
    "a photo of a red circle on the left",
    "two green squares and the blue triangle of the right size are bad, very bad films. " * 4,
    "the blue triangle",
]
NAMES = ("answer", "score", "start", "end")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return text_models.bert(tmp_path_factory.mktemp("qa"), "BertForQuestionAnswering")


def opened(folder, **keys):
    entry = {
        "inputs": {"question": "q", "context": "c"},
        "outputs": {name: name for name in NAMES},
    }
    spec = model_spec(framework="transformers", task="question-answering", **entry, **keys)
    return load(folder, spec)


def ask(servable, questions=QUESTIONS, contexts=CONTEXTS):
    given = {"question": questions, "context": contexts}
    found = servable.predict({name: np.array(rows, dtype=object) for name, rows in given.items()})
    return [
        dict(zip(NAMES, row, strict=True)) for row in zip(*(found[n] for n in NAMES), strict=True)
    ]


def best(folder, question, context, stride, longest):
    """The best answer by brute force: of every window the 12 best pairs of tokens, as words."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    tokens = AutoTokenizer.from_pretrained(folder)(
        question, context, truncation="only_second", max_length=24, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    summed = {}
    for window in range(len(tokens["input_ids"])):
        ids = torch.tensor([tokens["input_ids"][window]])
        kinds = torch.tensor([tokens["token_type_ids"][window]])
        with torch.no_grad():
            made = model(input_ids=ids, token_type_ids=kinds)
        parts = tokens.sequence_ids(window)
        counted = [i for i, part in enumerate(parts) if part == 1 or i == 0]
        starts = torch.softmax(made.start_logits[0, counted], 0)
        ends = torch.softmax(made.end_logits[0, counted], 0)
        spans = [
            ((starts[i] * ends[j]).item(), counted[i], counted[j])
            for i in range(1, len(counted))
            for j in range(i, min(i + longest, len(counted)))
        ]
        for score, i, j in sorted(spans, reverse=True)[:12]:
            words = tokens.encodings[window]
            begin = words.word_to_chars(words.token_to_word(i), 1)[0]
            end = words.word_to_chars(words.token_to_word(j), 1)[1]
            text = context[begin:end]
            known = summed.setdefault(text.lower(), [0.0, begin, end, text])
            known[0] += score
    return max(summed.values())


@pytest.mark.parametrize("stride", [0, 6])
@pytest.mark.parametrize("longest", [1, 5])
def test_answers_are_the_best_of_all_windows(stride, longest, folder):
    found = ask(opened(folder, doc_stride=stride, max_answer_length=longest))
    for row, answer in enumerate(found):
        score, begin, end, text = best(folder, QUESTIONS[row], CONTEXTS[row], stride, longest)
        assert (answer["start"], answer["end"], answer["answer"]) == (begin, end, text)
        assert answer["score"] == pytest.approx(score, abs=1e-5)


def test_answer_may_be_empty_where_that_is_allowed(folder):
    plain = ask(opened(folder, doc_stride=4))
    allowed = ask(opened(folder, doc_stride=4, impossible_answer=True))
    for with_answer, maybe in zip(plain, allowed, strict=True):
        assert maybe == with_answer or (maybe["answer"], maybe["end"]) == ("", 0)
    (none,) = ask(opened(folder, doc_stride=4, impossible_answer=True), ["what"], [""])
    assert none["answer"] == ""


def test_context_without_words_is_refused(folder):
    with pytest.raises(ValueError, match="the context has no words"):
        ask(opened(folder), ["what"], [""])


def test_windows_that_would_not_move_are_refused(folder):
    with pytest.raises(LoadError, match="windows of 12 tokens cannot have 12 in common"):
        opened(folder, max_length=12, doc_stride=12)
