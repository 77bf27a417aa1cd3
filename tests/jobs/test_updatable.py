"""Which changes keep a running stream updatable: names of steps, their state, its coders.

A service finds the state of a step by the step's name and reads it by its coder. The table is in
docs/engines.md.
"""

from pathlib import Path

import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from pipeline.runner.coders import FormCoder
from tests.jobs.test_dataflow_graph import SPEC, made_pipeline

GOLDEN = Path(__file__).parent / "updatable.txt"
PAR_DO, GROUP = "beam:transform:pardo:v1", "beam:transform:group_by_key:v1"


def described(coder_id, components, context):
    """A coder as text: what its bytes are, not the object."""
    proto = components.coders[coder_id]
    parts = [described(part, components, context) for part in proto.component_coder_ids]
    name = proto.spec.urn.removeprefix("beam:coder:")
    if "python" in name:
        coder = context.coders.get_by_id(coder_id)
        name = type(coder).__name__
        if isinstance(coder, FormCoder):
            name = coder.to_type_hint().wire_form
    return f"{name}({', '.join(parts)})" if parts else name


def kept(step, components):
    """What a runner keeps for a step: its kind, and the id of its coder."""
    if step.spec.urn == PAR_DO:
        payload = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload)
        if payload.restriction_coder_id:
            yield "restriction", payload.restriction_coder_id
        for name, state in sorted(payload.state_specs.items(), key=lambda item: item[0]):
            kind = getattr(state, state.WhichOneof("spec"))
            for field, value in kind.ListFields():
                if field.name.endswith("coder_id"):
                    yield f"state {name}", value
        if not payload.restriction_coder_id and not payload.state_specs:
            return
    elif step.spec.urn != GROUP:
        return
    for collection in step.inputs.values():
        yield "input", components.pcollections[collection].coder_id


def lasting(pipeline):
    """A line for each step, with the coders of what a runner keeps for it."""
    proto, context = pipeline.to_runner_api(return_context=True)
    components = proto.components
    steps = [step for step in components.transforms.values() if not step.subtransforms]
    lines = []
    for step in steps:
        coders = [
            f"; {kind}: {described(coder, components, context)}"
            for kind, coder in kept(step, components)
        ]
        lines.append(step.unique_name + "".join(coders))
    return sorted(lines)


@pytest.fixture(scope="module")
def changed(tmp_path_factory, gcs):
    return lambda **changes: lasting(made_pipeline(tmp_path_factory, gcs, **changes))


@pytest.fixture(scope="module")
def lines(changed):
    return changed()


def test_what_a_running_job_keeps_has_not_changed(lines, tmp_path):
    """A change here ends the updates of running jobs: say so in CHANGELOG.md."""
    found = "\n".join(lines) + "\n"
    new = tmp_path / GOLDEN.name
    new.write_text(found)
    assert found == GOLDEN.read_text(), f"if it is meant: cp {new} {GOLDEN}"


NUMBERS = ("max_batch_size", "output_file_secs", "watch_interval_secs")
OPERATIONS = "combine: [{column: r, op: sum, of: [q, q]}]\noutput: [r]\n"


@pytest.mark.parametrize(
    "change",
    [
        {"more": [f"--{name}=7" for name in NUMBERS]},
        {"text": SPEC.replace("gs://b/b/1", "gs://other/b/2").replace("name: e", "name: another")},
        {"text": SPEC.replace("shape: [4]}", "shape: [4]}, z: {dtype: int64, shape: []}")},
        {"text": SPEC + OPERATIONS},
    ],
    ids=["numbers", "version and name", "fields", "operations"],
)
def test_change_keeps_a_stream_updatable(lines, changed, change):
    assert changed(**change) == lines


@pytest.mark.parametrize(
    "change",
    [{"text": SPEC.replace("name: b,", "name: c,")}, {"without": ["--output_path"]}],
    ids=["model renamed", "sink removed"],
)
def test_change_does_not_keep_a_stream_updatable(lines, changed, change):
    assert set(lines) - set(changed(**change)), "steps of the running job are gone"
