"""What the graph is built with."""

from types import SimpleNamespace

import pytest

from pipeline.build import rows_together
from pipeline.core.record_spec import RecordSpec

SMALL = RecordSpec.model_validate({"fields": {"x": {"dtype": "float32", "shape": [64]}}})
TEXTS = RecordSpec.model_validate({"fields": {"t": {"dtype": "string"}}})


@pytest.mark.parametrize(
    ("max_batch_size", "streaming", "record", "pass_through", "rows"),
    [
        (0, False, SMALL, (), 4096),
        (0, False, SMALL, ("other",), 1024),
        (0, False, TEXTS, (), 1024),
        (0, True, SMALL, (), 1024),
        (7, False, SMALL, (), 7),
        (7, True, SMALL, (), 7),
    ],
)
def test_records_travel_in_thousands_where_they_are_small_and_none_waits_for_others(
    max_batch_size, streaming, record, pass_through, rows
):
    job = SimpleNamespace(
        settings=SimpleNamespace(max_batch_size=max_batch_size, streaming=streaming),
        graph=SimpleNamespace(spec=SimpleNamespace(record=record, pass_through=pass_through)),
    )
    assert rows_together(job) == rows
