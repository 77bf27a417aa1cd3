"""metadata.json: what gcloud lets pass without a word is found here."""

import copy
import json
import os
import subprocess
from pathlib import Path

import pytest
from google.cloud import dataflow_v1beta3
from google.protobuf import json_format

from pipeline.parameters import PARAMETERS

METADATA = json.loads((Path(__file__).parents[2] / "metadata.json").read_text())
# The launcher passes these itself; the documentation forbids declaring them.
FORBIDDEN = {"runner", "project", "job_name", "template_location", "region"}


def matches(regex, text):
    """As POSIX egrep sees it, which is what the service uses. Raises for a broken regex."""
    done = subprocess.run(["grep", "-Eq", "--", regex], input=text, text=True, capture_output=True)
    if done.returncode > 1:
        raise ValueError(done.stderr)
    return done.returncode == 0


def problems(metadata):
    parameters = metadata["parameters"]
    names = [p["name"] for p in parameters]
    by_name = dict(zip(names, parameters, strict=True))
    yield from (f"{n}: declared twice" for n in set(names) if names.count(n) > 1)
    yield from (f"{n}: must not be declared" for n in FORBIDDEN & set(names))
    yield from (f"{n}: no such option" for n in set(names) - {p.name for p in PARAMETERS})
    yield from (f"{p.name}: not declared" for p in PARAMETERS if p.name not in names)
    for parameter in parameters:
        name, default = parameter["name"], parameter.get("defaultValue")
        if not (parameter["label"].strip() and parameter["helpText"].strip()):
            yield f"{name}: no label or help"
        if default is not None and not isinstance(default, str):
            yield f"{name}: the default must be text"
            continue
        for regex in parameter.get("regexes", []):
            if "\\" in regex or "(?" in regex:
                yield f"{name}: not a POSIX regex"
                continue
            try:
                if not matches(regex, "" if default is None else default) and default is not None:
                    yield f"{name}: the regex refuses the default"
            except ValueError as error:
                yield f"{name}: broken regex: {error}"
        values = [option["value"] for option in parameter.get("enumOptions", [])]
        if (parameter.get("paramType") == "ENUM") != bool(values):
            yield f"{name}: an ENUM and its options belong together"
        if values and default is not None and default not in values:
            yield f"{name}: the default is not one of the options"
        if parent := parameter.get("parentName"):
            offered = {o["value"] for o in by_name.get(parent, {}).get("enumOptions", [])}
            if not set(parameter["parentTriggerValues"]) <= offered:
                yield f"{name}: its parent never has these values"


def test_metadata_has_no_problem():
    assert list(problems(METADATA)) == []


def first(metadata, **having):
    return next(p for p in metadata["parameters"] if all(p.get(k) == v for k, v in having.items()))


def with_default(metadata, default, **having):
    first(metadata, **having)["defaultValue"] = default


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda m: m["parameters"].append(m["parameters"][0]), "ensemble_spec: declared twice"),
        (lambda m: m["parameters"][0].update(name="runner"), "runner: must not be declared"),
        (lambda m: m["parameters"][0].update(name="runner"), "ensemble_spec: not declared"),
        (lambda m: m["parameters"][0].update(name="spec"), "spec: no such option"),
        (lambda m: m["parameters"][0].update(helpText=" "), "ensemble_spec: no label or help"),
        (lambda m: m["parameters"][0].update(regexes=["(a"]), "ensemble_spec: broken regex"),
        (lambda m: m["parameters"][0].update(regexes=["^\\d$"]), "ensemble_spec: not a POSIX"),
        (lambda m: with_default(m, 3, name="output_file_secs"), "the default must be text"),
        (lambda m: with_default(m, "0", name="watch_interval_secs"), "regex refuses the default"),
        (lambda m: with_default(m, "x", name="device"), "the default is not one of the options"),
        (lambda m: first(m, name="device").pop("enumOptions"), "device: an ENUM and its options"),
        (
            lambda m: first(m, name="release_pattern").update(parentTriggerValues=["wach"]),
            "release_pattern: its parent never has these values",
        ),
    ],
)
def test_checks_find_a_broken_file(break_it, said):
    broken = copy.deepcopy(METADATA)
    break_it(broken)
    assert any(said in problem for problem in problems(broken))


def test_metadata_parses_strictly():
    """Unknown keys and unknown parameter types are errors of the parser."""
    message = dataflow_v1beta3.TemplateMetadata.pb(dataflow_v1beta3.TemplateMetadata())
    json_format.ParseDict(METADATA, message)
    assert len(message.parameters) == len(PARAMETERS)
    assert message.supports_at_least_once
    # Plain text to the parser, which therefore takes anything.
    assert METADATA["defaultStreamingMode"] in ("UNSPECIFIED", "EXACTLY_ONCE", "AT_LEAST_ONCE")
    for key, value in (("paramType", "GCS_FILE"), ("optional", True)):
        broken = copy.deepcopy(METADATA)
        broken["parameters"][0][key] = value
        with pytest.raises(json_format.ParseError):
            json_format.ParseDict(broken, type(message)())


def test_gcloud_accepts_metadata(tmp_path):
    done = subprocess.run(
        [
            *("gcloud", "dataflow", "flex-template", "build", "gs://bucket/template.json"),
            *("--image=registry/ensemble:1", "--sdk-language=PYTHON", "--project=project"),
            f"--metadata-file={Path(__file__).parents[2] / 'metadata.json'}",
            "--print-only",
        ],
        env={
            **os.environ,
            "CLOUDSDK_CONFIG": str(tmp_path),
            "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    spec = json.loads(done.stdout[done.stdout.index("{") :])
    assert [p["name"] for p in spec["metadata"]["parameters"]] == [p.name for p in PARAMETERS]


def test_event_parameters_are_shown_for_event_mode_only():
    shown = first(METADATA, name="refresh_subscription")
    assert shown["parentName"] == "refresh_mode"
    assert shown["parentTriggerValues"] == ["event", "both"]
