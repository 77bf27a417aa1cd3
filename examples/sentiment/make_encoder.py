"""Trains a small BERT on the example's reviews, and exports it to ONNX: two routes to one label.

    python examples/sentiment/make_encoder.py --output_dir build/sentiment-encoder

writes ``models/bert/1`` (a transformers folder), ``models/onnx/1`` (``model.onnx``),
``tokenizer.json``, ``reviews.jsonl``, and a copy of ``encoder.yaml``. It needs no connection, the
extra `transformers` and the package `onnx`, and takes some seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from make import REVIEWS, reviews

HERE = Path(__file__).parent
SEEN, EPOCHS, ROWS = 2000, 4, 50


def train_tokenizer(texts: list[str]) -> Any:
    """A number for each word, and BERT's marks around each text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    words = sorted({word for text in texts for word in text.split()})
    known = {word: number for number, word in enumerate([*marks.values(), *words])}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **marks)


def train_encoder(tokenizer: Any, texts: list[str], positive: list[int]) -> Any:
    """A BERT of one layer that tells blame from praise."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        id2label={0: "negative", 1: "positive"},
    )
    model = BertForSequenceClassification(config)
    steps = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for start in [*range(0, len(texts), ROWS)] * EPOCHS:
        rows = slice(start, start + ROWS)
        given = tokenizer(texts[rows], padding=True, return_tensors="pt")
        loss = model(**given, labels=torch.tensor(positive[rows])).loss
        loss.backward()
        steps.step()
        steps.zero_grad()
    return model.eval()


def export(model: Any, file: Path) -> None:
    """Writes what the model computes as a graph: tokens and their mask to logits."""
    import torch

    class Encoder(torch.nn.Module):
        """Two arguments and one result, which have names in the graph."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    names = ["input_ids", "attention_mask"]
    example = torch.ones(2, 7, dtype=torch.long)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        Encoder(),
        (example, example),
        str(file),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={**{n: {0: "rows", 1: "tokens"} for n in names}, "logits": {0: "rows"}},
        dynamo=False,  # the other exporter needs onnxscript
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True, help="where to write")
    output_dir = parser.parse_args().output_dir
    shutil.rmtree(output_dir / "models", ignore_errors=True)
    output_dir.mkdir(parents=True, exist_ok=True)
    learnt, held_out = reviews(SEEN, seed=2), reviews(REVIEWS, seed=0)
    texts = [review["review"] for review in learnt]
    tokenizer = train_tokenizer(texts)
    model = train_encoder(tokenizer, texts, [int(review["stars"] > 3) for review in learnt])
    folder = output_dir / "models" / "bert" / "1"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.copy(folder / "tokenizer.json", output_dir)
    export(model, output_dir / "models" / "onnx" / "1" / "model.onnx")
    lines = [json.dumps(review) + "\n" for review in held_out]
    (output_dir / "reviews.jsonl").write_text("".join(lines))
    shutil.copy(HERE / "encoder.yaml", output_dir)
    print(f"{REVIEWS} reviews in {output_dir}/reviews.jsonl")


if __name__ == "__main__":
    main()
