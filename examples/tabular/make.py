"""Makes a table of loans, trains two models and one that stacks them, and writes the input.

    python examples/tabular/make.py --output_dir build/tabular

writes ``loans.csv`` (the input, three broken rows among it), ``models/`` and a copy of
``ensemble.yaml``. It needs no connection and takes some seconds. Every model learns from what the
ensemble file's own prepare steps make of the table.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from pipeline.ops.step import apply  # noqa: E402  # needs the path above
from pipeline.spec import graph  # noqa: E402
from pipeline.spec import text as spec_text  # noqa: E402

Table = dict[str, np.ndarray[Any, Any]]
REGIONS = ("north", "east", "south", "west")
TRAINING, STACKING, HELD_OUT, SEED = 4000, 2000, 1000, 7
BROKEN = (
    ["broken-region", "40", "3000", "100", "0", "centre", "true", "false"],
    ["broken-number", "forty", "3000", "100", "0", "east", "true", "false"],
    ["broken-cells", "40", "3000"],
)


def loans(count: int, seed: int) -> Table:
    """Made-up loans; whether one was paid back depends on its columns in ways of both models."""
    random = np.random.default_rng(seed)
    table: Table = {
        "age": random.integers(18, 80, count).astype(np.float32),
        "income": random.gamma(4, 900, count).round(2).astype(np.float32),
        "debt": random.gamma(1.5, 800, count).round(2).astype(np.float32),
        "late_payments": random.poisson(0.8, count).astype(np.int16),
        "region": random.choice(np.array(REGIONS, dtype=object), count),
        "employed": random.random(count) < 0.85,
    }
    burden = table["debt"] / (table["income"] + 500)
    young_and_late = (table["age"] < 30) & (table["late_payments"] > 1)  # which a line cannot draw
    logit = 3 * burden + 0.7 * table["late_payments"] + 2.5 * young_and_late - 2.2
    logit = logit - 1.2 * table["employed"] + 0.6 * (table["region"] == "south")
    table["defaulted"] = random.random(count) < 1 / (1 + np.exp(-logit))
    return table


def features(table: Table) -> Any:
    """What the ensemble file makes of the table, as the models read it: float32[rows, 9]."""
    spec = spec_text.parse((HERE / "ensemble.yaml").read_text(), source="ensemble.yaml")
    columns: dict[str, Any] = dict(table)
    for step in graph.resolve(spec).prepare:
        columns |= apply(step, columns)
    return columns["features"]


def train(models: Path) -> tuple[Any, Any, Any]:
    """Writes the three models; returns functions from features to risks: trees, linear, stack."""
    import torch
    import xgboost
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from skops import io as skops_io

    first, second = loans(TRAINING, SEED), loans(STACKING, SEED + 1)
    trees = xgboost.XGBClassifier(n_estimators=40, max_depth=3, learning_rate=0.2, n_jobs=1)
    trees.fit(features(first), first["defaulted"])
    linear = make_pipeline(StandardScaler(), LogisticRegression())
    linear.fit(features(first), first["defaulted"])

    class Stack(torch.nn.Module):
        """A logistic regression on what the two say: [rows] and [rows, 2] to [rows]."""

        def __init__(self, weights: list[float], bias: float) -> None:
            super().__init__()
            self.weights = torch.nn.Parameter(torch.tensor(weights))
            self.bias = torch.nn.Parameter(torch.tensor(bias))

        def forward(self, trees: torch.Tensor, linear: torch.Tensor) -> torch.Tensor:
            said = torch.stack([trees.float(), linear[:, 1].float()], dim=1)
            return (said @ self.weights + self.bias).sigmoid()

    def opinions(matrix: Any) -> tuple[Any, Any]:
        return trees.predict_proba(matrix)[:, 1], linear.predict_proba(matrix)

    # From loans that neither model has learnt from: of those, the trees would be too sure.
    by_trees, by_line = opinions(features(second))
    fit = LogisticRegression().fit(np.stack([by_trees, by_line[:, 1]], 1), second["defaulted"])
    stack = Stack(fit.coef_[0].tolist(), float(fit.intercept_[0])).eval()

    for name in ("trees", "linear", "stack"):
        (models / name / "1").mkdir(parents=True, exist_ok=True)
    trees.save_model(models / "trees/1/model.ubj")
    skops_io.dump(linear, models / "linear/1/model.skops")
    torch.jit.script(stack).save(str(models / "stack/1/model.pt"))

    def stacked(matrix: Any) -> Any:
        with torch.inference_mode():
            return stack(*map(torch.from_numpy, opinions(matrix))).numpy()

    return lambda m: opinions(m)[0], lambda m: opinions(m)[1][:, 1], stacked


def write_table(path: Path, table: Table) -> None:
    """Writes the loans as CSV, the broken rows behind them."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["id", *table])
        for number, row in enumerate(zip(*(c.tolist() for c in table.values()), strict=True)):
            cells = [str(v).lower() if isinstance(v, bool) else v for v in row]
            rows.writerow([f"loan-{number:04d}", *cells])
        rows.writerows(BROKEN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_dir", type=Path, required=True, help="where to write")
    output_dir = parser.parse_args().output_dir
    from sklearn.metrics import roc_auc_score

    predictors = train(output_dir / "models")
    held_out = loans(HELD_OUT, SEED + 2)
    write_table(output_dir / "loans.csv", held_out)
    shutil.copy(HERE / "ensemble.yaml", output_dir)
    print(f"{HELD_OUT} loans and {len(BROKEN)} broken rows in {output_dir}/loans.csv")
    for name, predict in zip(("trees", "linear", "stack"), predictors, strict=True):
        area = roc_auc_score(held_out["defaulted"], predict(features(held_out)))
        print(f"{name:7} area under the ROC curve {area:.3f}")


if __name__ == "__main__":
    main()
