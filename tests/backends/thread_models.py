"""Models large enough that each framework would spread one call over the cores it may use.

Run as a program, this loads them with so many threads and prints how busy each thread of the
process was in each round while they predicted:
``python -m tests.backends.thread_models FOLDER THREADS``.
"""

from __future__ import annotations

import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from tests.support import models

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3000, 64)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")
_ENOUGH_MS = 60.0
_ROUNDS = 8
"""At most, of two threads: until one shows that both are used."""
_SHARED = 0.5


def _estimator(estimator, folder, output="predict"):
    path = models.save_estimator(estimator.fit(X, Y), folder / "model.skops")
    entry = {"framework": "sklearn", "inputs": {"X": "c"}, "outputs": {output: "p"}}
    return path, {**entry, "trusted": True}, {"X": np.tile(X, (6, 1))}


def histogram_boosting(folder):
    from sklearn.ensemble import HistGradientBoostingClassifier

    return _estimator(HistGradientBoostingClassifier(max_iter=60), folder)


def k_means(folder):
    from sklearn.cluster import KMeans

    return _estimator(KMeans(50, n_init=1), folder)


def neighbours(folder):
    from sklearn.neighbors import KNeighborsClassifier

    return _estimator(KNeighborsClassifier(algorithm="brute", n_jobs=-1), folder)


def searched_forest(folder):
    """A search keeps the forest that it found beside the one that it was given."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV

    forest = RandomForestClassifier(20, n_jobs=-1)
    return _estimator(GridSearchCV(forest, {"max_depth": [8]}, cv=2), folder)


def perceptron(folder):
    from sklearn.neural_network import MLPClassifier

    return _estimator(MLPClassifier((1024,), max_iter=1), folder)


def onnx(folder):
    wide, deep = (RNG.normal(size=size).astype("float32") for size in ((64, 1024), (1024, 1024)))
    path = models.save_onnx(
        folder / "model.onnx",
        [("MatMul", ["x", "wide"], ["h"], {}), ("MatMul", ["h", "deep"], ["y"], {})],
        {"x": ("float32", ["rows", 64])},
        {"y": ("float32", ["rows", 1024])},
        {"wide": wide, "deep": deep},
    )
    return path, {"framework": "onnx", "inputs": {"x": "c"}, "outputs": {"y": "p"}}, {"x": X}


def torch(folder):
    import torch

    script = torch.jit.script(_network())
    path = models.save_torchscript(script, folder / "model.pt")
    entry = {"framework": "torch", "inputs": {"input": "c"}, "outputs": {"output_0": "p"}}
    return path, entry, {"input": X}


def forking_torch(folder):
    import torch

    from tests.support.networks import Forks

    path = models.save_torchscript(torch.jit.script(Forks(_network())), folder / "model.pt")
    entry = {"framework": "torch", "inputs": {"x": "c"}, "outputs": {"output_0": "p"}}
    return path, entry, {"x": X}


def _network():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(64, 1024), torch.nn.Linear(1024, 1024)).eval()


def tensorflow(folder):
    """Three branches, which TensorFlow would compute at the same time."""
    import tensorflow as tf

    def branches(x, wide, deep):
        return {"y": sum(tf.nn.relu(f(x) @ wide) @ deep for f in (tf.sin, tf.cos, tf.tanh))}

    path = models.save_function(
        folder,
        branches,
        {"x": ("float32", [None, 64])},
        wide=RNG.normal(size=(64, 1024)).astype("float32"),
        deep=RNG.normal(size=(1024, 1024)).astype("float32"),
    )
    return path, {"framework": "tensorflow", "inputs": {"x": "c"}, "outputs": {"y": "p"}}, {"x": X}


def xgboost(folder):
    import xgboost

    folder.mkdir(parents=True)
    fit = xgboost.XGBRegressor(n_estimators=60, n_jobs=1).fit(X, Y)
    fit.save_model(folder / "model.ubj")
    entry = {"framework": "xgboost", "inputs": {"X": "c"}, "outputs": {"predict": "p"}}
    return folder / "model.ubj", entry, {"X": np.tile(X, (6, 1))}


def lightgbm(folder):
    import lightgbm

    folder.mkdir(parents=True)
    fit = lightgbm.LGBMRegressor(n_estimators=60, n_jobs=1, verbose=-1).fit(X, Y)
    fit.booster_.save_model(folder / "model.txt")
    entry = {"framework": "lightgbm", "inputs": {"X": "c"}, "outputs": {"predict": "p"}}
    return folder / "model.txt", entry, {"X": np.tile(X, (6, 1))}


def catboost(folder):
    import catboost

    folder.mkdir(parents=True)
    settings = {"iterations": 60, "thread_count": 1, "allow_writing_files": False}
    fit = catboost.CatBoostRegressor(**settings, verbose=False).fit(X, Y)
    fit.save_model(str(folder / "model.cbm"))
    entry = {"framework": "catboost", "inputs": {"X": "c"}, "outputs": {"predict": "p"}}
    return folder / "model.cbm", entry, {"X": np.tile(X, (6, 1))}


def transformers(folder):
    sizes = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4}
    path = models.save_bert(folder, "BertModel", **sizes, num_hidden_layers=2)
    entry = {"framework": "transformers", "task": "feature-extraction"}
    texts = np.array(["good film very bad films"] * 512, dtype=object)
    return (
        path,
        {**entry, "inputs": {"text": "c"}, "outputs": {"embedding": "p"}},
        {"text": texts},
    )


def python(folder):
    """numpy, that is BLAS."""
    folder.mkdir(parents=True)
    np.savez(folder / "weights.npz", weights=RNG.normal(size=(64, 2048)), bias=np.zeros(2048))
    entry = {"framework": "python", "uri": "tests.support.steps:Affine", "path": "weights.npz"}
    return (
        folder / "weights.npz",
        {**entry, "inputs": {"x": "c"}, "outputs": {"y": "p"}},
        {"x": X.astype("float64")},
    )


EVERY = (
    *(histogram_boosting, k_means, neighbours, searched_forest, perceptron, onnx, torch),
    *(tensorflow, xgboost, lightgbm, catboost, transformers, python, forking_torch),
)
SPREAD = (histogram_boosting, onnx, torch, tensorflow, xgboost, lightgbm)
"""Those of which one call can keep two threads busy."""


def save(folder: Path) -> None:
    """Writes all models, and what to call them with."""
    made = {build.__name__: build(folder / build.__name__) for build in EVERY}
    (folder / "models.pickle").write_bytes(pickle.dumps(made))


def _busy_ms() -> dict[str, float]:
    """Thread -> milliseconds that it has been on a core (proc(5), schedstat)."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has just ended
            found[task.name] = int((task / "schedstat").read_text().split()[0]) / 1e6
    return found


def _use(servable, inputs, rounds: int) -> list[list[float]]:
    """Milliseconds of each thread during the calls of each round, the busiest first."""
    servable.predict(inputs)  # starts the threads
    used = [_round(servable, inputs)]
    while len(used) < rounds and used[-1][1] < _SHARED * used[-1][0]:
        used.append(_round(servable, inputs))
    return used


def _round(servable, inputs) -> list[float]:
    before, used = _busy_ms(), [0.0]
    while sum(used) < _ENOUGH_MS:
        servable.predict(inputs)
        used = sorted((ms - before.get(t, 0.0) for t, ms in _busy_ms().items()), reverse=True)
    return [*used, 0.0, 0.0]


def _main(folder: Path, threads: int) -> None:
    from tests.support.specs import load, model_spec

    made = pickle.loads((folder / "models.pickle").read_bytes())
    loaded = {
        name: (load(path, model_spec(**entry), threads=threads), inputs)
        for name, (path, entry, inputs) in made.items()
    }

    with ThreadPoolExecutor(1) as thread:  # as Beam calls models: not on the main thread
        rounds = 1 if threads == 1 else _ROUNDS
        used = {n: thread.submit(_use, *one, rounds).result() for n, one in loaded.items()}
    print(json.dumps(used))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
