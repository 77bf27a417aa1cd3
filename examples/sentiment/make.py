"""Makes film reviews, and two generations of an embedder and a classifier that read them.

    python examples/sentiment/make.py --output_dir build/sentiment

writes ``reviews.jsonl``, ``models/embedder/1`` and ``2``, ``models/classifier/1`` and ``2``, and a
copy of ``ensemble.yaml``. It needs no connection and takes some seconds.

Generation 1 has seen 100 reviews, generation 2 has seen 2,000. Their vectors mean different things:
a classifier that meets the vectors of the other generation is worth nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
REVIEWS, DIMENSIONS = 600, 16
SEEN = {1: 100, 2: 2000}  # generation -> reviews to learn from
OPENINGS = (
    "the film was",
    "i found it",
    "this story is",
    "two hours of",
    "all in all",
    "acting was",
)
WORDS = """\
superb moving clever charming gripping witty tender brilliant fresh warm honest lovely
dull clumsy noisy tired shallow bland messy stale cold silly endless hollow
long quiet french late short loud green early slow modern famous old"""
PRAISE, BLAME, NEUTRAL = (line.split() for line in WORDS.splitlines())


def reviews(count: int, seed: int) -> list[dict[str, Any]]:
    """Made-up reviews: `stars` is 1 to 5; from 4 on a review is meant to be positive."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        positive = bool(random.random() < 0.5)
        ours, others = (PRAISE, BLAME) if positive else (BLAME, PRAISE)
        words = [*random.choice(ours, 2), *random.choice(NEUTRAL, 3)]
        if random.random() < 0.2:
            words.append(random.choice(others))
        random.shuffle(words)
        text = f"{random.choice(OPENINGS)} {' and '.join(map(str, words))}"
        stars = int(random.integers(4, 6) if positive else random.integers(1, 3))
        made.append({"id": f"review-{number:04d}", "review": text, "stars": stars})
    return made


def embedding_of_words(texts: list[str], seed: int) -> tuple[list[str], Any]:
    """A vocabulary, and a vector for each of its words: latent semantic analysis of the texts.

    Turned about at random, as the vectors of two trainings are.
    """
    from scipy.stats import ortho_group
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    counts = TfidfVectorizer(token_pattern=r"\S+")
    matrix = counts.fit_transform(texts)
    words = TruncatedSVD(DIMENSIONS, random_state=seed).fit(matrix).components_.T
    turned = words @ ortho_group.rvs(DIMENSIONS, random_state=seed)
    return counts.get_feature_names_out().tolist(), turned.astype(np.float32)


def save_embedder(vocabulary: list[str], vectors: Any, folder: Path) -> Any:
    """Writes a SavedModel: text [rows] to the mean of its words' vectors, float32 [rows, 16]."""
    import tensorflow as tf

    class Embedder(tf.Module):
        """Splits at blanks; a word that it does not know counts as zeros."""

        def __init__(self) -> None:
            super().__init__()
            rows = tf.range(1, len(vocabulary) + 1)
            table = tf.lookup.KeyValueTensorInitializer(tf.constant(vocabulary), rows)
            self.rows = tf.lookup.StaticHashTable(table, default_value=0)
            self.vectors = tf.Variable(np.vstack([np.zeros_like(vectors[:1]), vectors]))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def __call__(self, text: Any) -> Any:
            words = tf.strings.split(tf.strings.lower(text))
            found = tf.ragged.map_flat_values(self.rows.lookup, words)
            embedded = tf.gather(self.vectors, found.to_tensor())
            length = tf.maximum(tf.cast(words.row_lengths(), tf.float32), 1.0)
            return {"embedding": tf.reduce_sum(embedded, axis=1) / length[:, tf.newaxis]}

    embedder = Embedder()
    signatures = {"serving_default": embedder.__call__}
    tf.saved_model.save(embedder, str(folder), signatures)
    return lambda texts: embedder(tf.constant(texts))["embedding"].numpy()


def train(models: Path, generation: int) -> Any:
    """Writes the two models of a generation; returns a function from texts to probabilities."""
    from sklearn.linear_model import LogisticRegression
    from skops import io as skops_io

    learnt = reviews(SEEN[generation], seed=generation)
    texts = [each["review"] for each in learnt]
    embed = save_embedder(
        *embedding_of_words(texts, seed=generation), models / "embedder" / str(generation)
    )
    classifier = LogisticRegression(C=100, max_iter=1000)
    classifier.fit(embed(texts), [int(each["stars"] > 3) for each in learnt])
    file = models / "classifier" / str(generation) / "model.skops"
    file.parent.mkdir(parents=True, exist_ok=True)
    skops_io.dump(classifier, file)
    return embed, classifier


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True, help="where to write")
    output_dir = parser.parse_args().output_dir
    shutil.rmtree(output_dir / "models", ignore_errors=True)
    output_dir.mkdir(parents=True, exist_ok=True)
    trained = {n: train(output_dir / "models", n) for n in SEEN}
    held_out = reviews(REVIEWS, seed=0)
    lines = [json.dumps(review) + "\n" for review in held_out]
    (output_dir / "reviews.jsonl").write_text("".join(lines))
    shutil.copy(HERE / "ensemble.yaml", output_dir)
    print(f"{REVIEWS} reviews in {output_dir}/reviews.jsonl")
    texts = [each["review"] for each in held_out]
    positive = np.array([each["stars"] > 3 for each in held_out])
    for by, (embed, _) in trained.items():
        for of, (_, classifier) in trained.items():
            right = np.mean(classifier.predict(embed(texts)) == positive)
            print(f"embedder {by} with classifier {of}: {right:.0%} right")


if __name__ == "__main__":
    main()
