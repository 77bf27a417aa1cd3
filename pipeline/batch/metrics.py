"""The metrics of a job: every name, with its meaning and unit.

The names are the same for every ensemble, because dashboards and alerts depend on them. In
addition, each model's step has the metrics of Beam's RunInference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NAMESPACE = "ensemble"

PREDICTIONS = "predictions"
DEAD_LETTERS = "dead_letters"
UNREAD_RECORDS = "unread_records"
LATENCY_MS = "latency_ms"
RELEASE_LAG_MS = "release_lag_ms"
REFRESH_MESSAGES = "refresh_messages"
REPORT_PAGES = "report_pages"
ROW_SAMPLES = "row_samples"
ROW_DIFFERENCES = "row_differences"
CUT_TEXTS = "cut_texts"
MISSING_VALUES = "missing_values"


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
      name: its name in Beam and Cloud Monitoring; parts in capitals are placeholders.
      kind: a Dataflow distribution arrives in Cloud Monitoring as four metrics, whose names end in
        ``_MIN``, ``_MAX``, ``_MEAN`` and ``_COUNT``.
      unit: the unit of its value.
      meaning: the meaning, for people.
    """

    name: str
    kind: Literal["counter", "distribution"]
    unit: str
    meaning: str


METRICS = (
    Metric(
        PREDICTIONS,
        "counter",
        "records",
        "Records with a prediction; falls by one if a table refuses its row.",
    ),
    Metric(DEAD_LETTERS, "counter", "records", "Records without a prediction."),
    Metric(
        f"{DEAD_LETTERS}/STAGE/TYPE",
        "counter",
        "records",
        "The same by stage and error type, such as `dead_letters/decode/wrong_shape`.",
    ),
    Metric(
        UNREAD_RECORDS,
        "counter",
        "records",
        "Records in parts of files that are damaged, as these say; such a part is one dead letter.",
    ),
    Metric(
        LATENCY_MS,
        "distribution",
        "ms",
        "Streams: from a record's event time (publish time, for Pub/Sub) until it is encoded.",
    ),
    Metric(
        RELEASE_LAG_MS,
        "distribution",
        "ms",
        "Streams, for each batch: how long its process has known of a newer release than the one "
        "that serves the batch; 0 if there is none.",
    ),
    Metric(
        "releases/OUTCOME",
        "counter",
        "events",
        "Release events: `accepted`, `rejected`, `rolled_back` and `ignored` are verdicts of the "
        "gate, `activated` and `failed` say what became of an accepted release in one process.",
    ),
    Metric(REFRESH_MESSAGES, "counter", "messages", "Refresh messages read."),
    Metric(
        f"{REFRESH_MESSAGES}_refused",
        "counter",
        "messages",
        "Of these: refused, because they were not understood or name an unknown model.",
    ),
    Metric(
        f"{REFRESH_MESSAGES}_ignored",
        "counter",
        "messages",
        "Of these: ignored, as notifications of objects that no `watch` pattern covers.",
    ),
    Metric(ROW_SAMPLES, "counter", "rows", "Rows that a model computed again, each alone."),
    Metric(
        ROW_DIFFERENCES,
        "counter",
        "rows",
        "Of these: rows with another result alone than in their batch. The log names the model.",
    ),
    Metric(
        f"{MISSING_VALUES}/FIELD",
        "counter",
        "rows",
        "Rows that lack a value of the field, which says `missing: keep`.",
    ),
    Metric(
        f"{CUT_TEXTS}/MODEL",
        "counter",
        "rows",
        "Rows whose text or waveform was longer than the model takes, and was cut.",
    ),
    Metric(REPORT_PAGES, "counter", "pages", "With `--report_path`: pages written."),
)
