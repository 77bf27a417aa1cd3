"""Completes the template spec that gcloud writes, and refuses one that is not what was built.

`gcloud dataflow flex-template build` leaves streaming, supportsAtLeastOnce, supportsExactlyOnce and
defaultStreamingMode out, so a job could not be asked for a streaming mode. It also takes unknown
keys, misspelt types and whatever image it is given without a word. Here metadata.json is read
strictly and takes the place of gcloud's copy of it.

Usage: python .ci/template_spec.py --spec=gcloud.json --metadata=metadata.json \
           --image=us-docker.pkg.dev/PROJECT/REPOSITORY/ensemble@sha256:DIGEST --output=spec.json

Source: https://cloud.google.com/dataflow/docs/reference/rest/v1b3/TemplateMetadata
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.cloud import dataflow_v1beta3
from google.protobuf import json_format

Json = dict[str, Any]
# A plain text in the message type, so that has to be checked here.
STREAMING_MODES = ("UNSPECIFIED", "EXACTLY_ONCE", "AT_LEAST_ONCE")


def read(path: Path) -> Json:
    """The JSON object in a file.

    Raises:
      ValueError: the file cannot be read, is not JSON, or holds something else; names the file.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: found a JSON {type(content).__name__}, expected an object")
    return content


def metadata_problems(metadata: Json) -> Iterator[str]:
    """What is not in the service's own message type: unknown keys, wrong types, unknown values."""
    try:
        json_format.ParseDict(metadata, dataflow_v1beta3.TemplateMetadata.pb()())
    except json_format.ParseError as error:
        yield str(error)
    mode = metadata.get("defaultStreamingMode", STREAMING_MODES[0])
    if mode not in STREAMING_MODES:
        expected = ", ".join(STREAMING_MODES)
        yield f"defaultStreamingMode: found {_short(mode)}, expected one of {expected}"


def spec_problems(spec: Json, metadata: Json, image: str) -> Iterator[str]:
    """Where gcloud's spec names another image, or was made from another metadata.

    Args:
      spec: as gcloud printed it.
      metadata: the content of metadata.json.
      image: the image that was pushed, as it must stand in the spec.
    """
    expected = {"image": image, "sdkInfo": {"language": "PYTHON"}, "metadata": metadata}
    for field, value in expected.items():
        if field in spec:
            yield from differences(spec[field], value, field)
        else:
            yield f"{field} is missing"


def differences(found: Any, expected: Any, field: str) -> Iterator[str]:
    """Where `found` says something else than `expected`; what it leaves out is no difference."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key, value in found.items():
            yield from differences(value, expected.get(key), f"{field}.{key}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, f"{field}[{i}]")
    elif found != expected:
        yield f"{field}: found {_short(found)}, expected {_short(expected)}"


def complete(spec: Json, metadata: Json) -> Json:
    """The spec with everything that metadata.json says."""
    return {**spec, "metadata": metadata}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def main() -> int:
    """Returns the exit status: 0 written, 1 refused."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--spec", type=Path, required=True, help="what gcloud printed")
    parser.add_argument("--metadata", type=Path, required=True)
    parser.add_argument("--image", required=True, help="the image just pushed, by its digest")
    parser.add_argument("--output", type=Path, required=True)
    files = parser.parse_args()
    try:
        spec, metadata = read(files.spec), read(files.metadata)
    except ValueError as error:
        problems = [str(error)]
    else:
        problems = [f"{files.metadata}: {problem}" for problem in metadata_problems(metadata)]
        problems += [
            f"{files.spec}: {problem}" for problem in spec_problems(spec, metadata, files.image)
        ]
    if problems:
        print("No template spec:", *problems, sep="\n  ", file=sys.stderr)
        return 1
    files.output.write_text(json.dumps(complete(spec, metadata), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
