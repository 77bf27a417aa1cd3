"""Tables of people, and estimators that are fitted on them."""

import numpy as np
import pandas

from tests.support import models
from tests.support.specs import load, model_spec

PEOPLE = 60


def people():
    """A table as people have them: numbers, whole numbers, texts, names with spaces."""
    random = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "age (years)": random.integers(18, 80, PEOPLE).astype(float),
            "Fare": random.gamma(2, 20, PEOPLE).round(2),
            "sex": random.choice(["male", "female"], PEOPLE),
            "class": random.integers(1, 4, PEOPLE),
            "rate": random.choice([0.1, 0.2, 0.7], PEOPLE),
        }
    )


NUMBERS = ["age (years)", "Fare"]


TARGET = (people()["Fare"] > 40).astype(int) + (people()["sex"] == "female")


def columns(*transformers, **options):
    from sklearn.compose import make_column_transformer

    return make_column_transformer(*transformers, **options)


def then(first, last):
    from sklearn.pipeline import make_pipeline

    return make_pipeline(first, last)


def linear():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def scale():
    from sklearn.preprocessing import StandardScaler

    return StandardScaler()


def one_hot(**options):
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(**options)


def by_name():
    return then(columns((scale(), NUMBERS), (one_hot(), ["sex", "class", "rate"])), linear())


def boosted_with_categories():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(categorical_features=["sex"], max_iter=5)


def loaded(estimator, folder, inputs, *outputs):
    path = models.save_estimator(estimator, folder / "model.joblib")
    outputs = {output: output.replace("predict", "y") for output in outputs or ["predict_proba"]}
    spec = model_spec(framework="sklearn", trusted=True, inputs=inputs, outputs=outputs)
    return load(path, spec)


def arrays(frame, names=None):
    """The columns as the graph has them; text is an object array."""
    return {
        (names or {}).get(name, name): frame[name].to_numpy(
            dtype=object if frame[name].dtype == object else None
        )
        for name in frame.columns
    }


def bound(frame):
    return {name: f"column_{i}" for i, name in enumerate(frame.columns)}


def dense(array):
    return array.toarray() if hasattr(array, "toarray") else array
