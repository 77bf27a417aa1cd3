"""Wide records at launch: the work grows with the columns, not with their square.

Lines run are counted, see :mod:`tests.support.growth`. What a loop in C looks through (`index` and
`count` of a list) is not: `tests/test_linear.py` finds these in the source.
"""

from __future__ import annotations

import pytest

from pipeline.backends.tables.names import features_of
from pipeline.connectors.bigquery.input_rows import input_problems
from pipeline.connectors.bigquery.schema import TableColumn
from pipeline.errors import SHOWN_PROBLEMS, SpecError
from pipeline.formats.csv import header as csv_header
from pipeline.formats.csv.decoder import CsvDecoder
from pipeline.formats.json.decoder import JsonDecoder
from pipeline.formats.tfrecord.example import TfRecordDecoder
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve
from pipeline.spec.record import RecordSpec
from tests.support.growth import growth

LINEAR = 2.5
"""Twice the columns take this many times the lines at most; the square would take four times."""


def record(count, **spec):
    spec = {"dtype": "float32", **spec}
    return RecordSpec.model_validate({"fields": {f"c{i}": spec for i in range(count)}})


def ensemble(count, *, steps="cast", missing=0):
    casts = [
        {"column": f"d{i}", "op": "cast", "of": f"c{i}", "dtype": "float64"} for i in range(count)
    ]
    chain = [
        {"column": f"d{i}", "op": "clip", "of": f"d{i - 1}" if i else "c0", "min": 0, "max": 1}
        for i in reversed(range(count))
    ]
    made = casts if steps == "cast" else chain
    joined = [f"d{i}" for i in range(count)] + [f"nothing{i}" for i in range(missing)]
    return EnsembleSpec.model_validate(
        {
            "name": "wide",
            "record": record(count),
            "prepare": [*made, {"column": "x", "op": "concat", "of": joined}],
            "models": [
                {
                    "name": "m",
                    "framework": "onnx",
                    "uri": "m",
                    "inputs": {"x": "x"},
                    "outputs": {"y": "y"},
                }
            ],
        }
    )


def features(count):
    graph = resolve(ensemble(count))
    return lambda: features_of("x", graph, graph.types)


def header_problems(count):
    header = tuple(f"other{i}" for i in range(count))
    return lambda: list(csv_header.problems(record(count), (), header))


def spread_places(count):
    """Vectors of two, each in two columns."""
    keys = record(count, shape=[2]).by_key
    header = [f"c{i}_{j}" for i in range(count) for j in range(2)]
    return lambda: csv_header.places(keys, header)


def table_problems(count):
    found = [TableColumn(f"c{i}", "STRING", False) for i in range(count)]
    return lambda: list(input_problems(record(count), found))


def meant_keys(count):
    declared = record(count)
    return lambda: [declared.key_meant(f"other{i}") for i in range(count)]


@pytest.mark.parametrize("steps", ["cast", "chain"])
def test_steps_are_ordered_in_as_much_work_as_there_are_steps(steps):
    def work(count):
        spec = ensemble(count, steps=steps)
        return lambda: resolve(spec)

    assert growth(work) < LINEAR


@pytest.mark.parametrize(
    "work", [features, header_problems, spread_places, table_problems, meant_keys]
)
def test_a_check_at_launch_looks_at_each_column_a_few_times(work):
    assert growth(work) < LINEAR


@pytest.mark.parametrize("decoder", [CsvDecoder, JsonDecoder, TfRecordDecoder])
@pytest.mark.parametrize("shape", [[], [2]])
def test_a_decoder_is_made_in_as_much_work_as_there_are_fields(decoder, shape):
    def work(count):
        declared = record(count, shape=shape)
        return lambda: decoder(declared)

    assert growth(work) < LINEAR


def test_columns_that_nothing_makes_are_looked_up_among_all_for_the_first_problems_only(
    monkeypatch,
):
    import difflib

    asked = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda *_, **__: asked.append(1) or [])
    with pytest.raises(SpecError) as refused:
        resolve(ensemble(3, missing=2 * SHOWN_PROBLEMS))
    assert len(refused.value.problems) == 2 * SHOWN_PROBLEMS
    assert len(asked) == SHOWN_PROBLEMS


def test_a_refusal_shows_the_first_of_very_many_problems_and_how_many_more_there_are():
    shown = str(SpecError([f"problem {i}" for i in range(5000)])).split("\n")
    assert shown == [*(f"problem {i}" for i in range(SHOWN_PROBLEMS)), "and 4,950 more"]
    assert str(SpecError(["a", "b"])) == "a\nb"
