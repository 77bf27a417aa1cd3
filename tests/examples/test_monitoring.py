"""The dashboard and the alerts: messages of the API, about metrics that a job has."""

import json
import re
from pathlib import Path

import pytest
from apache_beam.runners.worker import sdk_worker
from google.cloud import monitoring_dashboard_v1, monitoring_v3
from google.protobuf import json_format

from pipeline.batch.metrics import METRICS
from pipeline.releases.candidate import Outcome
from pipeline.transforms import follow_releases

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"
FILES = sorted({*MONITORING.glob("*.json")} - {*MONITORING.glob("log-metric-*")})
# https://docs.cloud.google.com/monitoring/api/metrics_gcp
OF_GOOGLE = {"job_user_counter", "job_system_lag", "job_data_watermark_age", "job_backlog_bytes"}
OF_GOOGLE |= {"job_current_num_vcpus", "subscription_oldest_unacked_message_age"}
LOG_METRICS = [
    json.loads(path.read_text()) for path in sorted(MONITORING.glob("log-metric-*.json"))
]
OF_GOOGLE |= {f"user_{metric['name']}" for metric in LOG_METRICS}


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


def test_readme_names_every_file_and_no_other():
    names = {path.name for path in MONITORING.glob("*.json")}
    readme = (MONITORING / "README.md").read_text()
    assert set(re.findall(r"^\| `(.+?)`", readme, re.MULTILINE)) == names


@pytest.mark.parametrize("file", MONITORING.glob("alert-*.json"), ids=lambda path: path.name)
def test_alert_can_be_installed_before_a_job_has_reported_its_metrics(file):
    for condition in json.loads(file.read_text())["conditions"]:
        assert condition["conditionPrometheusQueryLanguage"]["disableMetricValidation"] is True


@pytest.mark.parametrize("metric", LOG_METRICS, ids=lambda metric: metric["name"])
def test_log_metric_counts_lines_and_an_alert_reads_it(metric):
    assert metric["metricDescriptor"] == {"metricKind": "DELTA", "valueType": "INT64"}
    assert re.fullmatch(r"ensemble_[a-z_]+", metric["name"])  # a dash has another name in PromQL
    assert [f for f in FILES if f"user_{metric['name']}{{" in f.read_text()]


def line_counted(name):
    """The text by which a metric knows its lines."""
    (metric,) = (each for each in LOG_METRICS if each["name"] == name)
    (line,) = re.findall(r'AND "([^"]+)"', metric["filter"])
    return line


def test_line_of_a_failed_bundle_is_one_that_beam_writes():
    line = line_counted("ensemble_failed_bundles")
    assert f"'{line} %s." in Path(sdk_worker.__file__).read_text()


def test_line_of_a_process_without_a_release_is_one_that_it_writes():
    line = line_counted("ensemble_no_release")
    assert f'_LOGGER.error(\n            "{line}' in Path(follow_releases.__file__).read_text()


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
        assert set(re.findall(r"googleapis_com:(\w+)", query)) <= OF_GOOGLE
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
