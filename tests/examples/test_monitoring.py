"""The dashboard and the alerts: messages of the API, about metrics that a job has."""

import json
import re
from pathlib import Path

import pytest
from google.cloud import monitoring_dashboard_v1, monitoring_v3
from google.protobuf import json_format

from pipeline.batch.metrics import METRICS
from pipeline.releases.candidate import Outcome

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"
FILES = sorted(MONITORING.glob("*.json"))
OF_DATAFLOW = {"job_user_counter", "job_system_lag", "job_data_watermark_age"}
OF_DATAFLOW |= {"job_current_num_vcpus"}


def queries(node):
    """All PromQL in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("query", "prometheusQuery"):
                yield value
            else:
                yield from queries(value)
    elif isinstance(node, list):
        for value in node:
            yield from queries(value)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_file_is_a_message_of_the_api(file):
    kind = (
        monitoring_dashboard_v1.Dashboard
        if file.name == "dashboard.json"
        else monitoring_v3.AlertPolicy
    )
    parsed = json_format.ParseDict(json.loads(file.read_text()), kind.pb(kind()))
    assert parsed.display_name.startswith("Ensemble")


def test_there_are_a_dashboard_and_three_alerts_and_the_readme_names_them():
    names = {path.name for path in FILES}
    assert len([name for name in names if name.startswith("alert-")]) == 3
    readme = (MONITORING / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in names)


def names_counted():
    """Every name that a job may count under, as examples of the documented ones."""
    for metric in METRICS:
        name = metric.name.replace("STAGE/TYPE", "decode/wrong_shape")
        if metric.kind == "distribution":
            yield from (f"{name}_{part}" for part in ("MIN", "MAX", "MEAN", "COUNT"))
        elif name.endswith("OUTCOME"):
            yield from (name.replace("OUTCOME", outcome) for outcome in Outcome.__args__)
        else:
            yield name


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_queries_ask_for_metrics_that_a_job_has(file):
    known = list(names_counted())
    found = list(queries(json.loads(file.read_text())))
    assert found
    for query in found:
        assert set(re.findall(r"googleapis_com:(\w+)", query)) <= OF_DATAFLOW
        assert query.count("(") == query.count(")")
        for operator, asked in re.findall(r'metric_name(=~?)"([^"]+)"', query):
            matching = [
                name
                for name in known
                if (re.fullmatch(asked, name) if operator == "=~" else name == asked)
            ]
            assert matching, asked


def test_tiles_of_the_dashboard_do_not_overlap():
    layout = json.loads((MONITORING / "dashboard.json").read_text())["mosaicLayout"]
    taken = set()
    for tile in layout["tiles"]:
        x, y = tile.get("xPos", 0), tile.get("yPos", 0)
        cells = {(x + i, y + j) for i in range(tile["width"]) for j in range(tile["height"])}
        assert x + tile["width"] <= layout["columns"]
        assert not cells & taken
        taken |= cells
