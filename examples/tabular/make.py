"""Makes a table of loans, trains two models and one that stacks them, and writes the input.

    python examples/tabular/make.py --output_dir build/tabular

writes ``loans.csv`` (the input: with gaps, and three broken rows), ``models/`` and a copy of
``ensemble.yaml``. It needs no connection and takes some seconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
REGIONS = ("north", "east", "south", "west")
NUMBERS = ["age", "monthly income", "debt", "late payments"]
COLUMNS = [*NUMBERS, "employed", "region"]
TRAINING, STACKING, HELD_OUT, SEED = 4000, 2000, 1000, 7
Opinions = Callable[[pd.DataFrame], Any]
"""From loans to the risks by both models: [rows, 2]."""
BROKEN = """\
broken-region,40,3000,100,0,centre,true,false
broken-number,forty,3000,100,0,east,true,false
broken-cells,40,3000
"""


def loans(count: int, seed: int) -> pd.DataFrame:
    """Made-up loans, some without an income, a number of late payments or a region."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": random.integers(18, 80, count),
            "monthly income": random.gamma(4, 900, count).round(2),
            "debt": random.gamma(1.5, 800, count).round(2),
            "late payments": random.poisson(0.8, count).astype(float),
            "region": random.choice(np.array(REGIONS, dtype=object), count),
            "employed": random.random(count) < 0.85,
        }
    )
    burden = table["debt"] / (table["monthly income"] + 500)
    late = table["late payments"]
    logit = 3 * burden + 0.7 * late + 2.5 * ((table["age"] < 30) & (late > 1)) - 2.2
    logit += 0.6 * (table["region"] == "south") - 1.2 * table["employed"]
    table["defaulted"] = random.random(count) < 1 / (1 + np.exp(-logit))
    for name, share in {"monthly income": 0.1, "late payments": 0.05, "region": 0.05}.items():
        table.loc[random.random(count) < share, name] = np.nan
    return table


def categories(table: pd.DataFrame) -> pd.DataFrame:
    """The columns with the regions as categories of pandas, as XGBoost learns them."""
    return table[COLUMNS].astype({"region": pd.CategoricalDtype(sorted(REGIONS))})


def pipeline() -> Any:
    """Fills gaps, encodes the regions (one that it does not know is none), draws a line."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    regions = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    columns = make_column_transformer(
        (numbers, NUMBERS), (regions, ["region"]), ("passthrough", ["employed"])
    )
    return make_pipeline(columns, LogisticRegression())


def write_mlflow(folder: Path, estimator: Any) -> None:
    """Writes what MLflow would, as far as it is read here: the model and its MLmodel (YAML)."""
    from skops import io as skops_io

    version = metadata.version("scikit-learn")
    flavour = {"pickled_model": "model.skops", "serialization_format": "skops"}
    types = dict.fromkeys(NUMBERS, "double") | {"employed": "boolean", "region": "string"}
    inputs = [{"type": types[name], "name": name, "required": True} for name in COLUMNS]
    content = {
        "flavors": {"sklearn": flavour | {"sklearn_version": version}},
        "signature": {"inputs": json.dumps(inputs)},
    }
    skops_io.dump(estimator, folder / "model.skops")
    (folder / "MLmodel").write_text(json.dumps(content, indent=2) + "\n")
    (folder / "requirements.txt").write_text(f"scikit-learn=={version}\n")


def train(models: Path) -> Opinions:
    """Writes the three models; returns what the first two say of loans."""
    import xgboost

    for name in ("linear", "trees", "stack"):
        (models / name / "1").mkdir(parents=True, exist_ok=True)
    first = loans(TRAINING, SEED)
    linear = pipeline().fit(first[COLUMNS], first["defaulted"])
    write_mlflow(models / "linear/1", linear)
    trees = xgboost.XGBClassifier(
        n_estimators=40, max_depth=3, learning_rate=0.2, n_jobs=1, enable_categorical=True
    )
    trees.fit(categories(first), first["defaulted"])
    trees.save_model(models / "trees/1/model.ubj")

    def opinions(table: pd.DataFrame) -> Any:
        by_line = linear.predict_proba(table[COLUMNS])[:, 1]
        return np.stack([by_line, trees.predict_proba(categories(table))[:, 1]], axis=1)

    train_stack(models / "stack/1/model.pt", opinions)
    return opinions


def train_stack(path: Path, opinions: Opinions) -> None:
    """Writes a network that has learnt how much to trust each of the two.

    It learns from loans that neither has learnt from: of those, the trees would be too sure.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    class Stack(torch.nn.Module):
        """A logistic regression on what the two say: [rows, 2] and [rows] to [rows]."""

        def __init__(self, weights: list[float], bias: float) -> None:
            super().__init__()
            self.weights = torch.nn.Parameter(torch.tensor(weights))
            self.bias = torch.nn.Parameter(torch.tensor(bias))

        def forward(self, linear: torch.Tensor, trees: torch.Tensor) -> torch.Tensor:
            said = torch.stack([linear[:, 1].float(), trees.float()], dim=1)
            return (said @ self.weights + self.bias).sigmoid()

    second = loans(STACKING, SEED + 1)
    fit = LogisticRegression().fit(opinions(second), second["defaulted"])
    stack = Stack(fit.coef_[0].tolist(), float(fit.intercept_[0])).eval()
    torch.jit.script(stack).save(str(path))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes the loans as CSV, NA where a value is missing, and the broken rows behind them."""
    cells = table.astype({"late payments": "Int64"})
    for name in ("employed", "defaulted"):
        cells[name] = np.where(table[name], "true", "false")
    cells.insert(0, "id", [f"loan-{number:04d}" for number in range(len(table))])
    text = cells.to_csv(index=False, na_rep="NA", lineterminator="\n")
    path.write_text(text + BROKEN, newline="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True, help="where to write")
    output_dir = parser.parse_args().output_dir
    from sklearn.metrics import roc_auc_score

    opinions = train(output_dir / "models")
    held_out = loans(HELD_OUT, SEED + 2)
    write_table(output_dir / "loans.csv", held_out)
    shutil.copy(HERE / "ensemble.yaml", output_dir)
    gaps = int(held_out.isna().any(axis=1).sum())
    print(f"{HELD_OUT} loans, {gaps} with gaps, and 3 broken rows in {output_dir}/loans.csv")
    for name, risks in zip(("linear", "trees"), opinions(held_out).T, strict=True):
        print(f"{name} area under the ROC curve {roc_auc_score(held_out['defaulted'], risks):.3f}")


if __name__ == "__main__":
    main()
