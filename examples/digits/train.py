"""Trains the four models of the digits example, each with the framework that will serve it.

    python examples/digits/train.py --output_dir build/digits

writes ``models/<name>/1/...`` and copies of the two ensemble files beside them, since the URIs in
those are relative to them. A model that is already there is kept, and then its framework is not
even imported; ``--force`` trains all of them again.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data import SEED, Array, Images, split


def train_forest(images: Images, path: Path) -> Callable[[Array], Array]:
    """A random forest, saved with skops: a format that can be loaded without running its code."""
    from sklearn.ensemble import RandomForestClassifier
    from skops.io import dump, load

    forest = RandomForestClassifier(n_estimators=60, min_samples_leaf=2, random_state=SEED)
    dump(forest.fit(images.pixels, images.digits), path)

    # skops asks about trees because forged node numbers could crash the process. This file is ours.
    saved = load(path, trusted=["sklearn.tree._tree.Tree"])
    return lambda pixels: saved.predict_proba(pixels)


def train_mlp(images: Images, path: Path) -> Callable[[Array], Array]:
    """A network of 64-64-10 neurons as an ONNX graph, its weights taken from scikit-learn."""
    import onnx
    import onnxruntime
    from sklearn.neural_network import MLPClassifier

    network = MLPClassifier((64,), max_iter=100, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "not converged yet": stopped early on purpose
        network.fit(images.pixels, images.digits)
    onnx.save(_mlp_graph(network.coefs_, network.intercepts_), path)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["probs"], {"x": pixels})[0]


def _mlp_graph(weights: list[Array], biases: list[Array]) -> Any:
    """The two layers as ONNX: ``x`` float32[batch, 64] to ``probs`` float32[batch, 10]."""
    from onnx import TensorProto, helper, numpy_helper

    tensors = {"w1": weights[0], "b1": biases[0], "w2": weights[1], "b2": biases[1]}
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["hidden_sum"]),
            helper.make_node("Relu", ["hidden_sum"], ["hidden"]),
            helper.make_node("Gemm", ["hidden", "w2", "b2"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
        ],
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(t.astype("float32"), name) for name, t in tensors.items()],
    )
    # Newer versions are onnx's default, and ONNX Runtime 1.31 does not read them yet.
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


def train_convnet(images: Images, path: Path) -> Callable[[Array], Array]:
    """A small convolutional network, saved as TorchScript."""
    import torch
    from torch import nn

    class Convnet(nn.Module):
        """``pixels`` float32[batch, 64] to probabilities float32[batch, 10]."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                nn.Unflatten(1, (1, 8, 8)),
                nn.Conv2d(1, 16, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(16, 32, kernel_size=3, padding=1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(32 * 4 * 4, 10),
            )

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.layers(pixels).softmax(dim=1)

    torch.manual_seed(SEED)
    network = Convnet()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    pixels, digits = torch.from_numpy(images.pixels), torch.from_numpy(images.digits)
    for _ in range(20):
        for rows in torch.randperm(len(digits)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network.layers(pixels[rows]), digits[rows])
            loss.backward()
            optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.export is the newer way
        torch.jit.script(network.eval()).save(str(path))
        saved = torch.jit.load(str(path))
    return lambda held_out: saved(torch.from_numpy(held_out)).detach().numpy()


def train_dense(images: Images, path: Path) -> Callable[[Array], Array]:
    """A wide dense network, trained with Keras and exported as a SavedModel folder."""
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    with _native_stderr_hidden():
        import keras
        import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    network = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(images.pixels, images.digits, batch_size=32, epochs=25, verbose=0)

    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "serving_default",
        lambda pixels: {"probabilities": network(pixels)},
        input_signature=[tf.TensorSpec([None, 64], tf.float32, name="pixels")],
    )
    archive.write_out(str(path), verbose=False)

    saved = tf.saved_model.load(str(path)).signatures["serving_default"]
    return lambda pixels: saved(pixels=tf.constant(pixels))["probabilities"].numpy()


@contextmanager
def _native_stderr_hidden() -> Iterator[None]:
    """Drops what C++ code writes to stderr; Python's exceptions come through.

    TensorFlow remarks twice on a missing GPU before its log level counts, amid our progress lines.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  # os.devnull is no path
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@dataclass(frozen=True)
class Recipe:
    """How one model of the ensemble is made.

    Attributes:
      name: its name in ``ensemble.yaml``.
      framework: what the progress line says.
      artifact: its file inside the version folder; "" when the folder itself is the model.
      train: writes the model to a path and returns the *saved* model, read back, as a function
        from pixels float32[n, 64] to probabilities [n, 10].
    """

    name: str
    framework: str
    artifact: str
    train: Callable[[Images, Path], Callable[[Array], Array]]

    @property
    def version(self) -> Path:
        """The folder of version 1, relative to the output folder."""
        return Path("models", self.name, "1")


RECIPES = (
    Recipe("forest", "scikit-learn", "model.skops", train_forest),
    Recipe("mlp", "ONNX", "model.onnx", train_mlp),
    Recipe("convnet", "PyTorch", "model.pt", train_convnet),
    Recipe("dense", "TensorFlow", "", train_dense),
)


def make(recipe: Recipe, output_dir: Path, min_accuracy: float) -> float:
    """Trains one model and moves it into place once it is complete and good enough.

    Returns:
      its accuracy on the held-out images.

    Raises:
      SystemExit: it is not above `min_accuracy`.
    """
    train, held_out = split()
    with tempfile.TemporaryDirectory(prefix=".training-", dir=output_dir) as scratch:
        made = Path(scratch, "1")
        made.mkdir()
        saved = recipe.train(train, made / recipe.artifact)
        accuracy = float((saved(held_out.pixels).argmax(axis=1) == held_out.digits).mean())
        if accuracy <= min_accuracy:
            sys.exit(
                f"\n{recipe.name}: {accuracy:.3f} of the held-out digits are right, expected more "
                f"than {min_accuracy}. The model was not written."
            )
        version = output_dir / recipe.version
        shutil.rmtree(version, ignore_errors=True)
        version.parent.mkdir(parents=True, exist_ok=True)
        made.rename(version)
    return accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description="Trains the four models of the digits example.")
    parser.add_argument("--output_dir", type=Path, default=Path("build/digits"))
    parser.add_argument("--force", action="store_true", help="train again what is already there")
    parser.add_argument("--min_accuracy", type=float, default=0.9, help="refuse worse models")
    options = parser.parse_args()

    # Read when numpy and torch are first imported, below. On layers this small their threads only
    # wait for each other: beside other work on two cores, training took 90 s in place of 20 s.
    os.environ["OMP_NUM_THREADS"] = "1"
    options.output_dir.mkdir(parents=True, exist_ok=True)
    for spec in ("ensemble.yaml", "ensemble-streaming.yaml"):
        shutil.copy(Path(__file__).with_name(spec), options.output_dir)
    for recipe in RECIPES:
        print(f"{recipe.name:8} {recipe.framework:13}", end="", flush=True)
        # The folder appears by a rename, after everything in it was written: there means complete.
        if (options.output_dir / recipe.version).exists() and not options.force:
            print("kept, already in", options.output_dir / recipe.version)
            continue
        start = time.perf_counter()
        accuracy = make(recipe, options.output_dir, options.min_accuracy)
        secs = time.perf_counter() - start
        artifact = options.output_dir / recipe.version / recipe.artifact
        print(f"{secs:5.1f} s   accuracy {accuracy:.3f}   {artifact}", flush=True)


if __name__ == "__main__":
    main()
