"""metadata.json, which describes the template's parameters to gcloud and to the console.

Source: https://cloud.google.com/dataflow/docs/reference/rest/v1b3/TemplateMetadata
"""

from __future__ import annotations

import json
from typing import Any

from pipeline.parameters import PARAMETERS, Parameter

# One template, both kinds of job: the flags say what a streaming job of it may be asked for.
_TEMPLATE = {
    "name": "Ensemble inference",
    "description": "Runs an ensemble of models (scikit-learn, ONNX, PyTorch, TensorFlow) over a "
    "batch or a stream of records, and refreshes the models while the job runs.",
    "streaming": True,
    "supportsAtLeastOnce": True,
    "supportsExactlyOnce": True,
    "defaultStreamingMode": "EXACTLY_ONCE",
}


def metadata() -> str:
    """The text of metadata.json."""
    described = {**_TEMPLATE, "parameters": [_described(p) for p in PARAMETERS]}
    return json.dumps(described, indent=2, ensure_ascii=False) + "\n"


def _described(parameter: Parameter) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": parameter.name,
        "label": parameter.label,
        "helpText": parameter.help,
        "isOptional": not parameter.required,
    }
    if parameter.kind == "text":
        described["paramType"] = parameter.param_type
        described["regexes"] = [parameter.regex] if parameter.regex else []
    elif parameter.kind == "integer":
        described["paramType"] = "NUMBER"
        described["regexes"] = ["^[0-9]+$" if parameter.minimum == 0 else "^[1-9][0-9]*$"]
    elif parameter.kind == "number":
        described["paramType"] = "NUMBER"
        described["regexes"] = ["^[0-9]+([.][0-9]+)?$"]
    elif parameter.kind == "boolean":
        described["paramType"] = "BOOLEAN"
    else:
        described["paramType"] = "ENUM"
        described["enumOptions"] = [{"value": c, "label": c} for c in parameter.choices]
    if parameter.default is not None:
        described["defaultValue"] = parameter.default
    if parameter.parent:
        described["parentName"], triggers = parameter.parent
        described["parentTriggerValues"] = list(triggers)
    elif parameter.group:
        described["groupName"] = parameter.group  # the service ignores it beside a parent
    if parameter.local:
        described["hiddenUi"] = True
    return {key: value for key, value in described.items() if value != []}
