"""Tokens that are drawn: as often as they are likely, and the same ones for the same record."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pipeline.backends.base import LoadContext
from pipeline.backends.transformers.tasks.sampling import Sampling, chance
from pipeline.batch.batch import Batch
from pipeline.errors import LoadError
from pipeline.serving.opening import Opening
from pipeline.serving.step.model_step import ModelStep
from pipeline.serving.step.samples import RowSamples
from tests.support import picture_models, text_models
from tests.support.specs import load, model_spec

TEXTS = ["a photo", "the blue square is good and", "red", "a photo", "the film was"] * 3
OPTIONS = (
    {},
    {"temperature": 0.4},
    {"temperature": 2.5, "top_k": 0},
    {"top_k": 4},
    {"top_p": 0.6, "top_k": 0},
    {"temperature": 1.7, "top_k": 9, "top_p": 0.8},
)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return text_models.gpt2(tmp_path_factory.mktemp("gpt2"))


def entry(task="text-generation", **keys):
    outputs = {"text": "text", "texts": "texts"}
    fixed = {"framework": "transformers", "task": task, "inputs": {"text": "t"}}
    return model_spec(**{**fixed, "outputs": outputs, "do_sample": True, **keys})


def records(ids, texts=TEXTS):
    column = np.array(texts[: len(ids)], dtype=object)
    return Batch(ids=tuple(ids), payloads=(b"",) * len(ids), columns={"t": column})


def written(batch, spec, servable):
    done = ModelStep(spec).run(batch, servable)
    assert not done.rejects
    rows = (tuple(row) for row in done.columns["texts"])
    return dict(zip(done.ids, rows, strict=True))


def narrowed(scores, temperature=1.0, top_k=50, top_p=1.0):
    """The probabilities of each token, by the definition of the three options."""
    kept = scores.astype(np.float64) / temperature
    if top_k:
        kept[kept < np.sort(kept)[-min(top_k, len(kept))]] = -np.inf
    shares = np.exp(kept - kept.max())
    shares /= shares.sum()
    order = np.argsort(shares)[::-1]
    before = np.cumsum(shares[order]) - shares[order]
    shares[order[before >= top_p]] = 0
    return shares / shares.sum()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_tokens_are_drawn_as_often_as_they_are_likely(options, tmp_path):
    import torch
    from transformers import GenerationConfig

    scores = np.random.default_rng(3).normal(scale=1.5, size=70).astype(np.float32)
    sampling = Sampling(tmp_path, entry(**options), GenerationConfig())
    draws = 4000
    drawing = sampling.processors([(f"record {i}", 0) for i in range(draws)])
    expected = narrowed(scores, **options) * draws
    for _ in range(2):  # the first and the second token of each
        left = drawing(torch.zeros(draws, 1), torch.from_numpy(scores).repeat(draws, 1))
        counts = np.bincount(left.argmax(-1), minlength=len(scores))
        assert not counts[expected == 0].any()
        often = expected >= 5
        rest = [[counts[~often].sum()], [expected[~often].sum()]] if expected[~often].any() else []
        found, likely = (
            np.concatenate([values, more])
            for values, more in zip((counts[often], expected[often]), rest or ([], []), strict=True)
        )
        assert stats.chisquare(found, likely).pvalue > 1e-3


def test_chances_are_uniform_and_no_two_names_share_them():
    made = np.array(
        [[[chance(f"r{i}", j, k) for k in range(10)] for j in range(3)] for i in range(300)]
    )
    assert stats.kstest(made.ravel(), "uniform").pvalue > 1e-3
    assert len(np.unique(made)) == made.size
    assert made.min() >= 0
    assert made.max() < 1
    for one, other in ((made[1:], made[:-1]), (made[:, 1:], made[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(made[..., 1:].ravel(), made[..., :-1].ravel())[0, 1]) < 0.05


def test_text_of_a_record_is_that_of_its_own_chances(gpt2):
    """Token by token, by the model's own forward call."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = entry(max_new_tokens=6, temperature=1.5, num_return_sequences=2)
    found = written(records(["a", "b", 7]), spec, load(gpt2, spec))
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(gpt2),
        AutoTokenizer.from_pretrained(gpt2),
    )
    for text, record in zip(TEXTS, ["a", "b", 7], strict=False):
        for number in range(2):
            ids = tokenizer(text)["input_ids"]
            drawn = []
            while len(drawn) < 6 and 2 not in drawn:
                with torch.no_grad():
                    scores = model(torch.tensor([ids + drawn])).logits[0, -1].numpy()
                summed = np.cumsum(narrowed(scores, temperature=1.5))
                number_drawn = chance(f"model\0{record}", number, len(drawn))
                drawn.append(int(np.searchsorted(summed, number_drawn, side="right")))
            assert found[record][number] == tokenizer.decode(drawn, skip_special_tokens=True)


def test_retry_is_the_same_in_any_company_order_and_process(gpt2):
    spec = entry(max_new_tokens=8, temperature=1.3, num_return_sequences=3)
    ids = [f"r{i}" for i in range(len(TEXTS))]
    whole = written(records(ids), spec, load(gpt2, spec))
    other = load(gpt2, spec)
    assert written(records(ids), spec, other) == whole
    assert written(records(ids[::-1], TEXTS[::-1]), spec, other) == whole
    for i, record in enumerate(ids[:5]):
        assert written(records([record], TEXTS[i:]), spec, other) == {record: whole[record]}
    assert whole["r0"] != whole["r3"]  # of one prompt
    assert all(len({*texts}) > 1 for texts in whole.values())


def test_row_that_is_computed_once_more_is_the_same(gpt2):
    spec = entry(max_new_tokens=8)
    servable = load(gpt2, spec)
    done = ModelStep(spec).run(records([f"r{i}" for i in range(15)]), servable)
    samples = RowSamples(spec, max_differences=1)
    assert all(all(samples.look(done, servable)) for _ in range(20))


def test_calls_of_several_threads_that_are_merged_get_their_own_records(gpt2):
    spec = entry(max_new_tokens=5)
    servable = Opening(gpt2, spec, LoadContext("cpu", shared=True, call_rows=8))()
    batches = [records([f"{i} {j}" for j in range(3)]) for i in range(8)]
    alone = [written(batch, spec, load(gpt2, spec)) for batch in batches]
    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(lambda b: written(b, spec, servable), batches)] == alone


def test_an_encoder_and_a_decoder_draw_too_and_two_models_differ(tmp_path):
    folder = text_models.t5(tmp_path)
    ids = [f"r{i}" for i in range(6)]
    one, same, other = (
        entry("text2text-generation", name=name, max_new_tokens=6, temperature=2.0)
        for name in ("a", "a", "b")
    )
    found = written(records(ids), one, load(folder, one))
    assert written(records(ids), same, load(folder, same)) == found
    assert written(records(ids), other, load(folder, other)) != found


@pytest.mark.parametrize("task", ["image-to-text", "visual-question-answering"])
def test_texts_about_pictures_are_drawn_by_their_records_too(task, tmp_path):
    asks = task == "visual-question-answering"
    folder = (picture_models.blip_answers if asks else picture_models.blip)(tmp_path)
    asked = {"question": "t"} if asks else {}
    spec = entry(
        task,
        inputs={"image": "i", **asked},
        max_new_tokens=5,
        temperature=2.0,
        num_return_sequences=2,
    )
    pictures = np.random.default_rng(0).integers(0, 256, (5, 12, 12, 3), dtype="uint8")
    pictures[3] = pictures[0]
    servable, ids = load(folder, spec), [f"r{i}" for i in range(5)]

    def found(rows):
        batch = records([ids[i] for i in rows], [TEXTS[i] for i in rows])
        return written(
            replace(batch, columns={**batch.columns, "i": pictures[rows]}), spec, servable
        )

    whole = found([0, 1, 2, 3, 4])
    assert found([4, 3, 2, 1, 0]) == whole
    assert all(found([i]) == {ids[i]: whole[ids[i]]} for i in range(5))
    assert whole["r0"] != whole["r3"]  # of one picture and question
    assert any(one != other for one, other in whole.values())


def test_model_that_draws_nothing_gets_no_ids(gpt2):
    spec = entry(do_sample=False)
    assert [*spec.batched_inputs] == ["text"]
    assert [*entry().batched_inputs] == ["text", "record_key"]
    assert entry().columns_read() == ["t"]
    assert "record_key" not in {tensor.name for tensor in load(gpt2, entry()).signature.inputs}


@pytest.mark.parametrize(
    ("task", "keys", "why"),
    [
        ("text-generation", {"num_beams": 2}, "do_sample true and num_beams 2; expected one"),
        ("text-generation", {"do_sample": False, "top_p": 0.5}, "'top_p' has no use without"),
        ("text-generation", {"do_sample": None, "temperature": 2}, "'temperature' has no use"),
        ("text-generation", {"temperature": 0}, "greater than 0"),
        ("text-generation", {"top_p": 1.5}, "less than or equal to 1"),
        ("automatic-speech-recognition", {}, "does not know; expected false"),
        ("fill-mask", {"do_sample": None, "top_k": 0}, "found top_k 0, expected at least 1"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(task, keys, why):
    keys = {"do_sample": True, **keys}
    said = {key: value for key, value in keys.items() if value is not None}
    with pytest.raises(ValueError, match=why):
        model_spec(
            framework="transformers", task=task, inputs={"text": "t"}, outputs={"text": "t"}, **said
        )


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"num_beams": 3}, "has `num_beams: 3`, and tokens are drawn without beams"),
        ({"typical_p": 0.5}, "has `typical_p: 0.5`, by which tokens cannot be drawn"),
        ({"min_p": 0.1}, "has `min_p: 0.1`"),
    ],
    ids=str,
)
def test_folder_that_says_what_drawing_does_not_know_is_refused(says, why, tmp_path):
    folder = text_models.gpt2(tmp_path)
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **says}))
    with pytest.raises(LoadError, match=why):
        load(folder, entry())


def test_folder_says_how_tokens_are_drawn_where_the_entry_does_not(tmp_path):
    folder = text_models.gpt2(tmp_path)
    file = folder / "generation_config.json"
    said = {"do_sample": True, "temperature": 0.01, "top_k": 1}
    file.write_text(json.dumps({**json.loads(file.read_text()), **said}))
    likeliest = entry(do_sample=False, max_new_tokens=6)
    drawn = entry(max_new_tokens=6)
    ids = ["a", "b", "c"]
    greedy = written(records(ids), likeliest, load(folder, likeliest))
    assert written(records(ids), drawn, load(folder, drawn)) == greedy
    hot = entry(max_new_tokens=6, temperature=3.0, top_k=0)
    assert written(records(ids), hot, load(folder, hot)) != greedy
