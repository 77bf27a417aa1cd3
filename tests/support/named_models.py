"""Real models whose files name their features, and what each framework says of a table by hand.

`target` depends on each feature in another way, so that no two of them can be swapped unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Table = dict[str, np.ndarray]
Predict = Callable[[Table], np.ndarray]


NAMES = ("age", "fare", "rooms", "tenure")


def table(names: Sequence[str] = NAMES, rows: int = 200) -> dict[str, np.ndarray]:
    """Column -> float64 [rows]; a column of one name is the same whatever stands beside it."""
    return {
        name: np.random.default_rng([*name.encode()]).normal(size=rows).round(3) for name in names
    }


def target(columns: dict[str, np.ndarray]) -> np.ndarray:
    parts = [(2.0**i) * column * (column > -i / 2) for i, column in enumerate(columns.values())]
    total: np.ndarray = np.stack(parts).sum(axis=0)
    return total


def matrix(columns: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack(list(columns.values()), axis=1)


def sklearn_table(folder: Path, columns: dict[str, np.ndarray]) -> Predict:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tests.support.models import save_estimator

    estimator = make_pipeline(StandardScaler(), LinearRegression())
    estimator.fit(_arrow(columns), target(columns))
    save_estimator(estimator, folder / "model.skops")
    return lambda rows: estimator.predict(_arrow(rows))


def xgboost_table(folder: Path, columns: dict[str, np.ndarray], suffix: str = ".json") -> Predict:
    import xgboost

    def as_matrix(rows: Table, label: np.ndarray | None = None) -> Any:
        return xgboost.DMatrix(matrix(rows), label, feature_names=list(rows))

    folder.mkdir(parents=True)
    options = {"max_depth": 3, "nthread": 1}
    booster = xgboost.train(options, as_matrix(columns, target(columns)), 5)
    booster.save_model(folder / f"model{suffix}")
    return lambda rows: booster.predict(as_matrix(rows))  # refuses names in another order


def lightgbm_table(folder: Path, columns: dict[str, np.ndarray]) -> Predict:
    import lightgbm

    folder.mkdir(parents=True)
    data = lightgbm.Dataset(matrix(columns), target(columns), feature_name=list(columns))
    booster = lightgbm.train({"num_leaves": 7, "num_threads": 1, "verbose": -1}, data, 5)
    booster.save_model(folder / "model.txt")
    return lambda rows: booster.predict(matrix(rows))


def catboost_table(folder: Path, columns: dict[str, np.ndarray]) -> Predict:
    import catboost

    folder.mkdir(parents=True)
    pool = catboost.Pool(matrix(columns), target(columns), feature_names=list(columns))
    settings = {"iterations": 5, "depth": 3, "thread_count": 1, "allow_writing_files": False}
    fit = catboost.CatBoostRegressor(**settings, verbose=False).fit(pool)
    fit.save_model(str(folder / "model.cbm"))
    return lambda rows: fit.predict(matrix(rows))


def _arrow(columns: Table) -> Any:
    """A table that has the names of its columns, as a DataFrame has them."""
    import pyarrow as pa

    return pa.table(columns)


@dataclass(frozen=True)
class Kind:
    """A framework that names features.

    Attributes:
      framework: its name.
      build: trains on a table, saves into a folder, returns what the framework itself predicts.
    """

    framework: str
    build: Callable[..., Predict]

    def __str__(self) -> str:
        return self.framework


KINDS = (
    Kind("sklearn", sklearn_table),
    Kind("xgboost", xgboost_table),
    Kind("lightgbm", lightgbm_table),
    Kind("catboost", catboost_table),
)


def entry(kind: Kind, uri: str, column: str = "features", name: str = "clf") -> dict[str, Any]:
    """A model's entry in an ensemble file."""
    return {
        "name": name,
        "framework": kind.framework,
        "uri": uri,
        "inputs": {"X": column},
        "outputs": {"predict": f"{name}_y"},
    }


def joined(of: Sequence[str], column: str = "features") -> dict[str, Any]:
    """The step that joins columns."""
    return {"column": column, "op": "concat", "of": list(of)}
