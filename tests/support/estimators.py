"""Estimators of scikit-learn's kind that tell a test how they are called."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator


class TellsItsJobs(BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Predicts for each row the `n_jobs` that it has when it is called.

    Args:
      n_jobs: as every parallel estimator has it.
      depth: for a search to vary.
    """

    def __init__(self, n_jobs: int | None = None, depth: int = 1) -> None:
        self.n_jobs = n_jobs
        self.depth = depth

    def fit(self, rows: np.ndarray, labels: object = None) -> TellsItsJobs:
        """Learns nothing."""
        self.fitted_ = True
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.full(len(rows), self.n_jobs)

    def score(self, rows: np.ndarray, labels: object = None) -> float:
        """A search wants the largest depth."""
        return float(self.depth)
