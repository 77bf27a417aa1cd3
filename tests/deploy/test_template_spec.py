"""The template spec: complete, strict, and about the image that was pushed."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = f"us-central1-docker.pkg.dev/my-project/dataflow/ensemble@sha256:{'a' * 64}"
METADATA = {
    "name": "Ensemble",
    "description": "Runs an ensemble.",
    "streaming": True,
    "supportsAtLeastOnce": True,
    "supportsExactlyOnce": True,
    "defaultStreamingMode": "EXACTLY_ONCE",
    "parameters": [
        {
            "name": "ensemble_spec",
            "label": "Ensemble file",
            "helpText": "The ensemble.",
            "isOptional": False,
            "paramType": "GCS_READ_FILE",
            "regexes": ["^gs://.+$"],
        }
    ],
}


def printed(metadata=METADATA, image=IMAGE):
    """What gcloud prints for `metadata`."""
    kept = {k: metadata[k] for k in ("name", "description", "parameters")}
    return {"image": image, "metadata": copy.deepcopy(kept), "sdkInfo": {"language": "PYTHON"}}


@pytest.fixture
def complete(tmp_path):
    """Runs template_spec.py; returns its exit status, its errors and the spec that it wrote."""

    def run(spec=None, metadata=METADATA, image=IMAGE):
        for name, content in (("gcloud.json", spec or printed()), ("metadata.json", metadata)):
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name).write_text(text)
        files = ["--spec=gcloud.json", "--metadata=metadata.json", "--output=spec.json"]
        done = subprocess.run(
            [sys.executable, ROOT / ".ci/template_spec.py", *files, f"--image={image}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        output = tmp_path / "spec.json"
        return (
            done.returncode,
            done.stderr,
            json.loads(output.read_text()) if output.exists() else None,
        )

    return run


def test_dropped_fields_are_put_back_and_the_rest_is_kept(complete):
    status, errors, spec = complete({**printed(), "defaultEnvironment": {"maxWorkers": 3}})
    assert (status, errors) == (0, "")
    assert spec == {**printed(), "metadata": METADATA, "defaultEnvironment": {"maxWorkers": 3}}


def with_parameter(**change):
    metadata = copy.deepcopy(METADATA)
    metadata["parameters"][0].update(change)
    return metadata


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (with_parameter(helptext="x"), '"helptext"'),
        (with_parameter(paramType="GCS_FILE"), "GCS_FILE"),
        (with_parameter(regexes="^x"), "regexes"),
        ({**METADATA, "defaultStreamingMode": "ONCE"}, "defaultStreamingMode"),
        ({**METADATA, "streaming": "yes"}, "streaming"),
    ],
)
def test_metadata_that_gcloud_lets_pass_is_refused(complete, metadata, said):
    status, errors, spec = complete(printed(metadata), metadata)
    assert status == 1
    assert "\n  metadata.json: " in errors
    assert said in errors
    assert spec is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (printed(image=IMAGE[:-1] + "b"), f'image: found "{IMAGE[:-1]}b", expected "{IMAGE}"'),
        (printed({**METADATA, "name": "Old"}), 'metadata.name: found "Old", expected "Ensemble"'),
        (
            printed(with_parameter(label="Old")),
            'metadata.parameters[0].label: found "Old", expected "Ensemble file"',
        ),
        (
            printed({**METADATA, "parameters": METADATA["parameters"] * 2}),
            "metadata.parameters: found [",
        ),
        ({**printed(), "sdkInfo": {"language": "JAVA"}}, 'sdkInfo.language: found "JAVA"'),
        ({"image": IMAGE, "sdkInfo": {"language": "PYTHON"}}, "metadata is missing"),
    ],
)
def test_spec_of_something_else_is_refused(complete, spec, said):
    status, errors, written = complete(spec)
    assert status == 1
    assert f"\n  gcloud.json: {said}" in errors
    assert written is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "gcloud.json: not JSON"),
        ("|-\n  {", "gcloud.json: not JSON"),  # without --format='value(.)'
        ("[]", "gcloud.json: found a JSON list, expected an object"),
    ],
)
def test_file_that_is_no_spec_is_named(complete, spec, said):
    status, errors, _ = complete(spec or " ")
    assert status == 1
    assert said in errors


def test_missing_file_is_named(tmp_path):
    options = ["--spec=nowhere.json", "--metadata=m", "--image=i", f"--output={tmp_path}/o"]
    done = subprocess.run(
        [sys.executable, ROOT / ".ci/template_spec.py", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "nowhere.json: cannot be read: No such file or directory" in done.stderr


def test_what_the_real_gcloud_prints_is_completed(complete, tmp_path):
    metadata = ROOT / "metadata.json"
    command = ["gcloud", "dataflow", "flex-template", "build", "gs://my-bucket/1.json"]
    options = [f"--image={IMAGE}", "--sdk-language=PYTHON", f"--metadata-file={metadata}"]
    done = subprocess.run(
        [*command, *options, "--print-only", "--format=value(.)"],
        check=True,
        capture_output=True,
        env={**os.environ, "CLOUDSDK_CONFIG": str(tmp_path / "gcloud")},
    )
    spec, expected = json.loads(done.stdout), json.loads(metadata.read_text())
    assert complete(spec, expected)[2]["metadata"] == expected
