"""cloudbuild.yaml as Cloud Build reads it: its substitutions, and what is wrong with it.

Source: https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from google.cloud.devtools import cloudbuild_v1
from google.protobuf import json_format

Build = dict[str, Any]
"""The content of cloudbuild.yaml, or one of its steps."""


FILE = Path(__file__).parents[2] / "cloudbuild.yaml"
EVERY_BUILD = {"PROJECT_ID", "PROJECT_NUMBER", "BUILD_ID", "LOCATION"}
# Empty in a build that no trigger started.
TRIGGERED = {
    *("TRIGGER_NAME", "COMMIT_SHA", "REVISION_ID", "SHORT_SHA", "REPO_NAME", "REPO_FULL_NAME"),
    *("BRANCH_NAME", "TAG_NAME", "REF_NAME", "TRIGGER_BUILD_CONFIG_PATH"),
    *("SERVICE_ACCOUNT", "SERVICE_ACCOUNT_EMAIL"),
}
BUILT_IN = EVERY_BUILD | TRIGGERED
# `$$` is an escaped `$`, so it is matched first and names nothing.
_REFERENCE = re.compile(r"\$\$|\$(?:(\w+)|\{(\w+)\})")
_SHELL_VARIABLE = re.compile(r"\$\{?#?([A-Z][A-Z0-9_]*)")
_ASSIGNED = re.compile(r"^\s*([A-Z][A-Z0-9_]*)=|\becho \"([A-Z][A-Z0-9_]*)=", re.MULTILINE)


def load() -> Build:
    build: Build = yaml.safe_load(FILE.read_text())
    return build


def step(build: Build, name: str) -> Build:
    return next(step for step in build["steps"] if step["id"] == name)


def substituted(text: str, values: Mapping[str, str]) -> str:
    """`text` as Cloud Build makes it. What has no value becomes empty."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        return "$" if name is None else values.get(name, "")

    return _REFERENCE.sub(value, text)


def environment(build: Build, **given: str) -> dict[str, str]:
    """The variables that scripts see, when the build is started with these substitutions."""
    values = {k: v for k, v in given.items() if k in BUILT_IN}
    own = {**build["substitutions"], **{k: v for k, v in given.items() if k not in BUILT_IN}}
    values |= {name: substituted(text, values) for name, text in own.items()}
    pairs = [substituted(line, values) for line in build["options"]["env"]]
    return dict(pair.split("=", 1) for pair in pairs)


def problems(build: Build) -> Iterator[str]:
    """What Cloud Build would refuse, or accept and do something else than is meant."""
    try:
        json_format.ParseDict(build, cloudbuild_v1.Build.pb()())
    except json_format.ParseError as error:
        yield f"schema: {error}"
        return
    yield from _order_problems(build["steps"])
    yield from _substitution_problems(build)
    for step in build["steps"]:
        yield from (f"{step.get('id')}: {problem}" for problem in _step_problems(step, build))
    if build.get("images"):
        yield "images: pushes only after the last step"
    if build["options"].get("logging") != "CLOUD_LOGGING_ONLY":
        yield "options: a service account of the build's own needs logging CLOUD_LOGGING_ONLY"


def _order_problems(steps: Sequence[Build]) -> Iterator[str]:
    seen: set[str] = set()
    for number, step in enumerate(steps, start=1):
        name = step.get("id")
        if not name:
            yield f"step {number}: no id"
        elif name in seen:
            yield f"{name}: this id is there twice"
        for other in step.get("waitFor", []):
            if other not in {"-", *seen}:
                yield f"{name}: waits for {other!r}, which is no step before it"
        seen.add(str(name))


def _substitution_problems(build: Build) -> Iterator[str]:
    declared = set(build["substitutions"])
    used: set[str] = set()
    for place, text in _substitutable(build):
        for match in _REFERENCE.finditer(text):
            name = match[1] or match[2]
            used |= {name} & declared
            if name and name not in declared | BUILT_IN:
                yield f"{place}: ${name} is not declared"
        if "$" in _REFERENCE.sub("", text):
            yield f"{place}: a single $ that names nothing"
    for name in sorted(declared):
        if name not in used:
            yield f"substitutions: {name} is not used"
        if not name.startswith("_"):
            yield f"substitutions: {name} must begin with _"
    defaults = " ".join(build["substitutions"].values())
    if _REFERENCE.search(defaults) and not build["options"].get("dynamicSubstitutions"):
        yield "options: defaults that name substitutions need dynamicSubstitutions"


def _substitutable(build: Build) -> Iterator[tuple[str, str]]:
    """Each text in which Cloud Build substitutes: all but the scripts."""

    def walk(value: Any, place: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, str):
            yield place, value
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, f"{place}.{key}" if place else key)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                yield from walk(item, f"{place}[{i}]")

    steps = [{k: v for k, v in step.items() if k != "script"} for step in build["steps"]]
    return walk({**build, "steps": steps}, "")


def _step_problems(step: Build, build: Build) -> Iterator[str]:
    script = step.get("script", "")
    if not script.startswith("#!/usr/bin/env bash\nset -euo pipefail\n"):
        yield "the script must begin with bash's shebang and `set -euo pipefail`"
    if {"args", "entrypoint"} & set(step):
        yield "args and entrypoint cannot stand beside a script"
    if "$$" in script or re.search(r"\$\{?_[A-Z]", script):
        yield "nothing is substituted or escaped in a script: use the variables of options.env"
    known = {"PWD", "HOME", "PATH"} | {name for s in build["steps"] for name in _assigned(s)}
    known |= {line.partition("=")[0] for line in build["options"]["env"] + step.get("env", [])}
    for name in sorted(set(_SHELL_VARIABLE.findall(script)) - known):
        yield f"the script reads {name}, which nothing sets"
    if not re.search(r":(?!latest$)[^/:]+$", step["name"]):
        yield f"{step['name']} has no fixed version"


def _assigned(step: Build) -> set[str]:
    return {a or b for a, b in _ASSIGNED.findall(step.get("script", ""))}
