"""The command init: what it drafts for the models and records that it finds."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipeline.drafting.draft import FILL_IN, GUESS
from tests.backends.cases import AFFINE, CASES
from tests.commands.inits import ROWS, bound, init
from tests.support import formats, models
from tests.support.mlflow_folders import mlmodel

NUMBERED = ["text", "row_id", "m1", "m2", "m3", "m4"]


KNOWN = [
    case
    for case in CASES
    if case.framework != "python" and not case.name.startswith("torch-state-dict")
]


@pytest.mark.parametrize("case", KNOWN, ids=str)
def test_file_for_a_model_of_each_format_passes_check(run, folder, case):
    case.build(folder / "models/net/3", 1.0)
    formats.write(folder, "jsonl", [{**row, "input": row["left"]} for row in ROWS])
    records = [] if case.name == "transformers-image" else ["--records", "a.jsonl"]
    data, text, _ = init(run, "models", "--trusted", *records)
    (entry,) = data["models"]
    assert (entry["name"], entry["framework"]) == ("net", case.framework)
    assert entry["uri"].startswith("models/net/3")
    assert "    # watch: models/net/*" in text
    assert case.extra.items() <= entry.items()
    if case in AFFINE:
        assert "fill in" not in text
        assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


@pytest.mark.parametrize("format", formats.EXTENSIONS)
def test_fields_come_from_records_of_every_format(run, folder, format):
    models.onnx_file(folder / "models/net/1")
    formats.write(folder, format, ROWS)
    data, text, _ = init(run, "models", "--records", f"a.{format}")
    assert data["record"] == {
        "id": "row_id",
        "fields": {"left": {"dtype": "float32", "shape": [4]}},
    }
    assert bound(data, "net") == {"x": "left"}
    assert "inputs: {x: left} # guess: the only key of the records that is float32[4]" in text
    assert sorted(text.partition("# pass_through: [")[2].partition("]")[0].split(", ")) == [
        "rank",
        "review",
    ]
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_columns_of_a_csv_that_are_numbered_are_one_field(run, folder):
    models.onnx_file(folder / "models/net")
    Path("a.csv").write_text("id,m_0,m_1,m_2,m_3\n7,0.5,1,2,3\n")
    data, _, _ = init(run, "models", "--records", "a.csv")
    assert data["record"]["fields"] == {"m": {"dtype": "float32", "shape": [4]}}


def test_column_without_a_name_is_read_as_others_are(run, folder):
    models.onnx_file(folder / "models/net")
    Path("a.csv").write_text(',note\n"[0.5, 1, 2, 3]",n\n')
    data, _, _ = init(run, "models", "--records", "a.csv")
    vector = {"dtype": "float32", "shape": [4], "name": ""}
    assert data["record"]["fields"] == {bound(data, "net")["x"]: vector}
    assert run("check", "ensemble.yaml").status == 0


def test_what_is_written_runs_over_the_records_it_was_made_from(run, folder):
    import main

    models.sklearn_skops(folder / "models/linear/1", scale=1.0)
    models.onnx_file(folder / "models/net/1", scale=3.0)
    formats.write(folder, "jsonl", ROWS)
    init(run, "models", "--records", "a.jsonl")
    arguments = ["--input_file_pattern=a.jsonl", "--output_path=out/p", "--output_format=parquet"]
    assert main.main(["--ensemble_spec=ensemble.yaml", *arguments, "--trial_secs=0"]) == 0
    import pyarrow.parquet as pq

    found = pq.read_table(next(iter((folder / "out").glob("p-0*"))))
    weights, bias = models.affine_weights(1.0)
    expected = np.array([row["left"] for row in ROWS]) @ weights + bias
    assert found["id"].to_pylist() == [row["row_id"] for row in ROWS]
    assert np.allclose(found["linear_predict"].to_pylist(), expected, atol=1e-5)


def test_table_as_excel_writes_it_below_a_folder_of_its_day_runs_as_drafted(run, folder):
    import main

    models.onnx_file(folder / "models/net/1")
    rows = [[f"größe {i}", i, *(f"{i},{k}" for k in range(4))] for i in range(20)]
    text = "".join(";".join(map(str, row)) + "\r\n" for row in [NUMBERED, *rows])
    (folder / "sales/day=2024-01-01").mkdir(parents=True)
    (folder / "sales/day=2024-01-01/a.csv").write_bytes(text.encode("cp1252"))
    data, written, _ = init(run, "models", "--records", "sales")
    assert data["record"] == {
        "id": "row_id",
        "csv": {"delimiter": ";", "decimal": ",", "encoding": "cp1252"},
        "fields": {"m": {"dtype": "float32", "shape": [4], "columns": "m{1..4}"}},
    }
    assert "# pass_through: [day, text]" in written
    Path("ensemble.yaml").write_text(
        Path("ensemble.yaml").read_text().replace("# pass_through", "pass_through")
    )
    paths = ["--input_file_pattern=sales/*/*.csv", "--output_path=out/p", "--trial_secs=0"]
    assert main.main(["--ensemble_spec=ensemble.yaml", *paths]) == 0
    lines = [json.loads(line) for line in next(Path("out").glob("p-0*")).read_text().splitlines()]
    weights, bias = models.affine_weights(1.0)
    values = np.array([[float(f"{i}.{k}") for k in range(4)] for i in range(20)])
    assert [line["id"] for line in lines] == [str(i) for i in range(20)]
    assert lines[3]["pass_through"] == {"day": "2024-01-01", "text": "größe 3"}
    found = [line["predictions"]["net_y"] for line in lines]
    assert np.allclose(found, values @ weights + bias, atol=1e-4)


def test_without_records_models_that_read_the_same_share_a_field(run, folder):
    models.onnx_file(folder / "models/net/1")
    models.keras_file(folder / "models/dense/1")
    models.onnx_text(folder / "models/shout")
    data, text, _ = init(run, "models")
    assert data["record"]["fields"] == {
        "features": {"dtype": "float32", "shape": [4]},
        "s": {"dtype": "string"},
    }
    assert bound(data, "net") == bound(data, "dense") == {"x": "features"}
    assert text.count("guess: another model reads the same type and shape") == 1
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_tensor_that_no_key_fits_is_to_be_filled_in(run, folder):
    models.onnx_file(folder / "models/net")
    formats.write(folder, "jsonl", [{"id": "a", "v": [1.0, 2.0]}])
    data, text, done = init(run, "models", "--records", "a.jsonl")
    assert bound(data, "net") == {"x": "x"}
    assert "fill in: no key of the records fits float32[4]; they have v number[2]" in text
    assert "1 to fill in" in done.out


def test_guess_that_does_not_work_says_so(run, folder):
    models.torchscript(folder / "models/net")
    formats.write(folder, "jsonl", [{"v": [1.0, 2.0]}])
    _, text, _ = init(run, "models", "--records", "a.jsonl")
    assert "fill in: this does not work yet: fails on made-up rows" in text


def test_several_keys_of_one_shape_are_told_in_the_guess(run, folder):
    models.onnx_pair(folder / "models/pair")
    formats.write(folder, "jsonl", [{"b": [1.0] * 4, "c": [1.0] * 4, "d": [2.0] * 4}])
    data, text, _ = init(run, "models", "--records", "a.jsonl")
    assert bound(data, "pair")["b"] == "b"
    assert bound(data, "pair")["a"] in ("b", "c", "d")
    assert "would fit float32[4] as well" in text


def test_scores_of_models_with_one_input_are_averaged(run, folder):
    for name in ("one", "two"):
        models.save_estimator(models.classifier(), folder / f"models/{name}/model.skops")
    models.bert_classifier(folder / "models/bert")
    data, _, _ = init(run, "models")
    assert data["combine"] == [
        {"column": "proba", "op": "mean", "of": ["one_proba", "two_proba"]},
        {"column": "label", "op": "argmax", "of": "proba"},
    ]
    assert data["output"] == ["proba", "label"]
    assert run("check", "ensemble.yaml", "--trial_secs=0").status == 0


def test_values_that_may_be_anything_are_averaged_in_a_comment_only(run, folder):
    models.xgboost_ubj(folder / "models/one")
    models.lightgbm_text(folder / "models/two")
    data, text, _ = init(run, "models")
    assert "combine" not in data
    assert "#   - {column: mean, op: mean, of: [one_predict, two_predict]}" in text
    assert data["output"] == ["one_predict", "two_predict"]


def test_models_and_output_in_a_bucket(run, folder, gcs, bucket):
    for version in (9, 10):
        file = models.onnx_file(folder / str(version))
        gcs.upload(f"{bucket}/models/net/{version}/model.onnx", file.read_bytes())
    gcs.upload(f"{bucket}/models/net/10/MLmodel", mlmodel("onnx"))
    gcs.upload(f"{bucket}/records/a.jsonl", formats.as_bytes("jsonl", ROWS))
    words = [f"{bucket}/models", "--records", f"{bucket}/records/*.jsonl"]
    done = run("init", *words, "--output", f"{bucket}/ensemble.yaml")
    assert done.status == 0, done.err
    data = yaml.safe_load(gcs.download(f"{bucket}/ensemble.yaml"))
    assert data["models"][0]["uri"] == "models/net/10"
    assert bound(data, "net") == {"x": "left"}
    assert run("check", f"{bucket}/ensemble.yaml").status == 0
    data, text, _ = init(run, *words)
    assert data["models"][0]["uri"] == f"{bucket}/models/net/10"
    assert f"# watch: {bucket}/models/net/*" in text


def test_file_beside_the_models_or_elsewhere_names_them_so_that_they_are_found(run, folder):
    models.onnx_file(folder / "a/models/net/1")
    here = ("init", "a/models", "--trial_secs=0")
    assert run(*here, "--output", "a/ensemble.yaml").status == 0
    assert "uri: models/net/1" in (folder / "a/ensemble.yaml").read_text()
    assert run(*here, "--output", "b/ensemble.yaml").status == 0
    assert f"uri: {folder}/a/models/net/1" in (folder / "b/ensemble.yaml").read_text()
    for place in ("a", "b"):
        assert run("check", f"{place}/ensemble.yaml", "--trial_secs=0").status == 0


def test_file_that_is_there_is_kept_unless_told_otherwise(run, folder):
    models.onnx_file(folder / "models/net")
    (folder / "ensemble.yaml").write_text("mine")
    done = run("init", "models")
    assert done.status == 2
    assert "ensemble.yaml is there already; give another name, or --overwrite" in done.err
    assert (folder / "ensemble.yaml").read_text() == "mine"
    init(run, "models", "--overwrite")


def test_mistakes_in_all_arguments_come_together(run, folder):
    (folder / "notes").mkdir()
    (folder / "notes/a.txt").write_text("x")
    (folder / "bad.jsonl").write_text("not json\n")
    done = run(
        *("init", "notes", "--records", "bad.jsonl", "--output", "notes", "--name", "my models")
    )
    assert done.status == 2
    assert done.err.splitlines() == [
        "Nothing written, 4 problems:",
        "  --name: found 'my models', expected letters, digits, '_', '.' and '-'",
        "  MODELS_FOLDER: found no model in 'notes', which holds a.txt; expected files or folders "
        "of scikit-learn, ONNX, PyTorch, TensorFlow, XGBoost, LightGBM, CatBoost or transformers",
        "  --records: bad.jsonl: not JSON: " + done.err.partition("not JSON: ")[2].split("\n")[0],
        "  --output: 'notes' is a folder, expected a file such as ensemble.yaml in it",
    ]
    assert "nowhere does not exist" in run("init", "nowhere").err
    assert "found 'gs://', expected a folder of models" in run("init", "gs://").err


def test_files_that_no_framework_reads_are_named(run, folder):
    models.onnx_file(folder / "models/net")
    (folder / "models/old.h5").write_bytes(b"x")
    assert "passed over old.h5" in run("init", "models").err


def test_every_note_is_a_guess_or_to_be_filled_in(run, folder):
    """What is counted in the summary is what a reader finds in the file."""
    models.torchscript(folder / "models/net/1")
    models.onnx_pair(folder / "models/pair/1")
    formats.write(folder, "jsonl", ROWS)
    _, text, done = init(run, "models", "--records", "a.jsonl")
    assert f"{text.count(GUESS.strip())} guesses" in done.out
    assert f"{text.count(FILL_IN.strip())} to fill in" in done.out


def test_tensor_that_a_format_has_as_one_list_is_declared_with_the_axes_of_the_model(run, folder):
    models.save_onnx(
        folder / "models/net/model.onnx",
        [("Identity", ["image"], ["y"], {})],
        {"image": ("float32", ["rows", 2, 3])},
        {"y": ("float32", ["rows", 2, 3])},
    )
    rows = [{"pixels": [0.5] * 6}]
    formats.write(folder, "tfrecord", rows)
    data, _, _ = init(run, "models", "--records", "a.tfrecord")
    assert data["record"]["fields"] == {"pixels": {"dtype": "float32", "shape": [2, 3]}}
    formats.write(folder, "jsonl", rows)  # where lists are nested
    _, text, _ = init(run, "models", "--records", "a.jsonl", "--overwrite")
    assert "fill in: no key of the records fits float32[2, 3]" in text


def test_reason_names_the_model_as_the_entry_does(run, folder, gcs, bucket):
    gcs.upload(f"{bucket}/models/net/1/model.onnx", b"garbage")
    _, text, _ = init(run, f"{bucket}/models")
    said = " ".join(text.replace("#", " ").split())
    assert f"not known. {bucket}/models/net/1/model.onnx cannot be loaded" in said
