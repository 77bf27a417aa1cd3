"""The command init, run over a folder."""

from pathlib import Path

import yaml

from pipeline.spec import text as spec_text

ROWS = [
    {"row_id": f"r{i}", "left": [0.5, 1.0 * i, 2.0, 3.0], "review": "good film", "rank": i % 3}
    for i in range(20)
]


def init(run, *words, limits=("--trial_secs=0",)):
    """Runs it, and returns the ensemble file as data, and as text without its first lines.

    Without limits of its own in this process, which has the frameworks.
    """
    done = run("init", *words, *limits)
    assert done.status == 0, done.err
    text = Path("ensemble.yaml").read_text()
    if "until it has the key" not in " ".join(text.replace("#", " ").split()):
        assert spec_text.parse(text, source="ensemble.yaml")
    return yaml.safe_load(text), text.partition("\n\n")[2], done


def bound(data, model):
    (entry,) = (entry for entry in data["models"] if entry["name"] == model)
    return entry["inputs"]
