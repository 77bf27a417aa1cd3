"""The encoder of the sentiment example: a transformers folder and its ONNX export agree."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import main

SCRIPT = Path(__file__).parents[2] / "examples" / "sentiment" / "make_encoder.py"


def test_both_routes_give_a_review_the_same_label_and_mostly_the_right_one(tmp_path):
    made = [sys.executable, str(SCRIPT), "--output_dir", str(tmp_path)]
    subprocess.run(made, check=True, capture_output=True)
    arguments = [
        f"--ensemble_spec={tmp_path}/encoder.yaml",
        f"--input_file_pattern={tmp_path}/reviews.jsonl",
        f"--output_path={tmp_path}/out/p",
        "--trial_secs=0",  # both models are made here
    ]
    assert main.main(arguments) == 0
    files = tmp_path.glob("out/p-0*")
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    assert len(lines) == 600
    found = [line["predictions"] for line in lines]
    for one in found:
        assert one["sentiment"] == one["graph_sentiment"]
        np.testing.assert_allclose(one["bert_proba"], one["graph_proba"], atol=1e-4)
    right = [
        (line["predictions"]["sentiment"] == "positive") == (line["pass_through"]["stars"] > 3)
        for line in lines
    ]
    assert np.mean(right) > 0.9
