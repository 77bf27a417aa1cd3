"""Mistakes in the ensemble file: each is one line that says where, what, and what instead."""

import pytest

from tests.spec.example import changed, problems

FRAMEWORKS = (
    "expected one of sklearn, onnx, torch, tensorflow, xgboost, lightgbm, catboost, transformers, "
    "python"
)


INPUT_FORMS = "expected a column name, {column, pad_value} or {value, dtype}"


A_NAME = "expected a name of letters, digits, '_', '.' and '-' that starts with a letter or '_'"


A_LENGTH = "expected a length of at least 0, or null for the axis that varies"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sklearn", "sklern", f":9: models[0] 'forest'.framework: found 'sklern', {FRAMEWORKS}; "
         "did you mean 'sklearn'?"),
        ("sklearn", "mlflow", f":9: models[0] 'forest'.framework: found 'mlflow', {FRAMEWORKS}; "
         "an MLflow model folder is a `uri` of the framework that computes it, which its MLmodel "
         "names under `flavors` and `python -m pipeline init FOLDER` writes; for one with "
         "python_function only, write a class for `framework: python`"),
        ("sklearn", "remote", f":9: models[0] 'forest'.framework: found 'remote', {FRAMEWORKS}; "
         "models behind a service are not called from here, because nothing could be said of their "
         "versions: Apache Beam's RunInference has handlers for them (such as "
         "VertexAIModelHandlerJSON), to be used before or after this job"),
        ("    framework: onnx\n", "",
         f":14: models[1] 'mlp': key 'framework' is missing, {FRAMEWORKS}"),
        ("framework: onnx", "framwork: onnx",
         ":15: models[1] 'mlp': unknown key 'framwork'; did you mean 'framework'?"),
        ("    inputs:\n", "    inptus:\n",
         ":17: models[1] 'mlp': unknown key 'inptus'; did you mean 'inputs'?"),
        ("trusted: true", "zzz: true",
         ":13: models[0] 'forest': unknown key 'zzz'; the keys are name, uri, inputs, outputs, "
         "bytes_outputs, max_batch_size, device, model_sharing, precision, warm_up, "
         "independent_rows, watch, complete_marker, framework, trusted"),
        ("trusted: true", "precision: half",
         ":13: models[0] 'forest'.precision: found 'half', which only `framework: torch` and "
         "`transformers` support; this framework computes in full only"),
        ("max_batch_size: 1024", "precision: half",
         ":21: models[1] 'mlp'.precision: found 'half', which only `framework: torch` and "
         "`transformers` support; an ONNX graph has its precision in the file: export it in "
         "float16"),
        ("    uri: models/forest/1\n", "",
         ":8: models[0] 'forest': key 'uri' is missing (File or folder of the model, `gs://` or "
         "local; relative to the ensemble file)"),
        ("name: digits\n", "", ":1: key 'name' is missing (Name of the ensemble)"),
        ("name: digits", "name: no",
         ":1: name: found no, which YAML reads as false, expected a name; if text is meant, put "
         "it in quotes: 'no'"),
        ("[zero, one]", "[zero, on]",
         ":25: combine[2] 'label'.labels[1]: found on, which YAML reads as true, expected text; "
         "if text is meant, put it in quotes: 'on'"),
        ("uri: models/forest/1", "uri: 12",
         ":10: models[0] 'forest'.uri: found 12, expected text; if text is meant, put it in "
         "quotes: '12'"),
        ("uri: models/forest/1", "uri:",
         ":10: models[0] 'forest'.uri: found nothing, expected text"),
        ("trusted: true", "trusted: 'yes'",
         ":13: models[0] 'forest'.trusted: found 'yes', expected true or false"),
        ("{X: pixels}", "{X: [pixels, 7]}",
         ":11: models[0] 'forest'.inputs: 'X': found a list, expected names of columns in it"),
        ("{X: pixels}", "{X: [pixels, pixels]}",
         ":11: models[0] 'forest'.inputs: 'X': found a list, which has pixels twice"),
        ("{X: pixels}", "{X: [pixels], Z: pixels}",
         ":11: models[0] 'forest'.inputs: 'X': found a list, expected it as the only input; with "
         "several, name each feature: {age: age, fare: fare}"),
        ("x: {column: pixels, pad_value: 0}", "x: [pixels]",
         f":17: models[1] 'mlp'.inputs: 'x': found a list, {INPUT_FORMS}: only models of tables "
         "take a list (sklearn, xgboost, lightgbm, catboost); `op: concat` joins columns of "
         "numbers"),
        ("x: {column: pixels, pad_value: 0}", "x: {column: pixels, position: 0}",
         ":14: models[1] 'mlp': key 'position' of input 'x' has no use here: only models of tables "
         "take a column for each feature"),
        ("{X: pixels}", "{X: yes}",
         f":11: models[0] 'forest'.inputs.X: found yes, which YAML reads as true, {INPUT_FORMS}; "
         "to name a column, put it in quotes: 'yes'"),
        ("{X: pixels}", "{}",
         ":11: models[0] 'forest'.inputs: found an empty mapping, expected at least one entry"),
        ("column: pixels, pad", "colum: pixels, pad",
         ":18: models[1] 'mlp'.inputs.x: unknown key 'colum'; did you mean 'column'?"),
        ("{value: 16000, dtype: int64}", "{value: 16000}",
         ":19: models[1] 'mlp'.inputs.rate: key 'dtype' is missing (Type of the tensor); "
         "expected one of int8, int16, int32, int64, uint8, uint16, uint32, uint64, float16, "
         "float32, float64, bool, string, bytes"),
        ("{value: 16000, dtype: int64}", "{value: 16000, dtype: int8}",
         ":19: models[1] 'mlp'.inputs.rate.value: found 16000, expected a value that int8 "
         "can hold"),
        ("{value: 16000, dtype: int64}", "{value: {a: 1}, dtype: int64}",
         ":19: models[1] 'mlp'.inputs.rate.value: found {a}, expected a value that int64 "
         "can hold"),
        ("forest_proba}", "1st}",
         f":12: models[0] 'forest'.outputs.predict_proba: found '1st', {A_NAME}"),
        ("    pixels: {", "    1st: {", f":5: record.fields: found the key '1st', {A_NAME}"),
        ("shape: [64]", "shape: [-1]", f":5: record.fields.pixels.shape[0]: found -1, {A_LENGTH}"),
        ("shape: [64]", "shape: [any]",
         f":5: record.fields.pixels.shape[0]: found 'any', {A_LENGTH}"),
        ("shape: [64]", "shape: [null, null]",
         ":5: record.fields.pixels.shape: only one axis may vary, found 2 of `null`"),
        ("  id: id", "  id: id\n  csv: {delimiter: ';;'}",
         ":4: record.csv.delimiter: found ';;', expected one ASCII character that is no letter, "
         "digit, sign or line end"),
        ("  id: id", "  id: id\n  csv: {delimiter: '\\t'}",
         ":4: record.csv.delimiter: found a backslash and a t, expected a tab: \"\\t\" in double "
         "quotes, which only these make one"),
        ("  id: id", "  id: id\n  csv: {delimiter: é}",
         ":4: record.csv.delimiter: found 'é', expected one ASCII character that is no letter, "
         "digit, sign or line end"),
        ("  id: id", "  id: id\n  csv: {decimal: ','}",
         ":4: record.csv: delimiter and decimal are both ','; in files with tabs, .tsv too, name "
         "the delimiter: a tab"),
        ("  id: id", "  id: id\n  csv: {quote: ;, delimiter: ;}",
         ":4: record.csv: delimiter and quote are both ';'"),
        ("  id: id", "  id: id\n  csv: {header: false}",
         ":4: record.csv.header: found no names, expected `true`, if line 1 of each file names the "
         "columns, or the list of the columns' names"),
        ("  id: id", "  id: id\n  csv: {header: id}",
         ":4: record.csv.header: found 'id', expected true or false or a list"),
        ("  id: id", "  id: id\n  csv: {missing: [-9]}",
         ":4: record.csv.missing[0]: found -9, expected text; if text is meant, put it in quotes: "
         "'-9'"),
        ("  id: id", "  id: id\n  csv: {delimeter: ;}",
         ":4: record.csv: unknown key 'delimeter'; did you mean 'delimiter'?"),
        ("  id: id", "  source: raw\n  csv: {delimiter: ;}",
         ":2: record: found the key 'csv'; with `source: raw` no file is read as CSV"),
        ("weights: [1, 2]", "weights: [1]",
         ":23: combine[0] 'proba': found 1 weights for 2 columns"),
        ("op: argmax", "op: argmx",
         ":24: combine[1] 'digit'.op: found 'argmx', expected one of mean, sum, min, max, median, "
         "product, weighted_mean, vote, argmax, softmax, sigmoid, top_k, threshold, round, concat, "
         "lookup; did you mean 'argmax'?"),
        ("op: argmax, of: proba", "op: top_k, of: proba, k: 0",
         ":24: combine[1] 'digit'.k: found 0, expected at least 1"),
        ("op: max, of: [forest_proba, mlp_proba]", "op: max, of: 5",
         ":26: combine[3] 'spread'.of: found 5, expected a name or a list"),
        ("op: max, of: [forest_proba, mlp_proba]", "op: max, of: []",
         ":26: combine[3] 'spread'.of: found an empty list, expected at least one entry"),
        ("op: max, of: [forest_proba, mlp_proba]", "op: max, of: [forest_proba, 5]",
         ":26: combine[3] 'spread'.of[1]: found 5, expected a name"),
        ("  - {column: proba,", "  - 7\n  - {column: proba,",
         ":23: combine[0]: found 7, expected a mapping"),
        ("name: mlp", "name: forest",
         ":14: models[1] 'forest'.name: 'forest' is already the name of models[0]"),
        ("framework: onnx", "framework: torch\n    module: net",
         ":16: models[1] 'mlp'.module: found 'net', expected `package.Class` of the network whose "
         "weights the file holds"),
        ("trusted: true", "trusted: true\n    uri: b",
         ":14: models[0] 'forest': key 'uri' is given twice, in lines 10 and 14"),
        ("{X: pixels}", "{0: pixels}",
         ":11: models[0] 'forest'.inputs: key 0 is not text; put it in quotes: '0'"),
        ("{X: pixels}", "{[X]: pixels, Y: pixels}",
         ":11: models[0] 'forest'.inputs: a key in line 11 is not text"),
        ("uri: models/forest/1", "uri: !!python/object/apply:os.system [ls]",
         ":10: models[0] 'forest'.uri: has the tag !!python/object/apply:os.system, expected plain "
         "values without such tags"),
        ("uri: models/forest/1", 'uri: "\\ud800"',
         ":10: models[0] 'forest'.uri: found '\\ud800', which is text with half a character in it"),
        ("max_batch_size: 1024", "max_batch_size: 0x_",
         ":21: models[1] 'mlp'.max_batch_size: found '0x_', which is no integer"),
        ("max_batch_size: 1024", "max_batch_size: 18446744073709551616",
         ":21: models[1] 'mlp'.max_batch_size: is a number too large for 64 bits"),
        ("trusted: true", "trusted: !!bool maybe",
         ":13: models[0] 'forest'.trusted: found 'maybe', which is neither true nor false"),
        ("trusted: true", "watch: gs://bucket/forest/",
         ":13: models[0] 'forest'.watch: 'gs://bucket/forest/' is a folder; "
         "'gs://bucket/forest/*' matches the versions in it"),
        ("trusted: true", "complete_marker: _SUCCESS",
         ":8: models[0] 'forest': key 'complete_marker' has no use without the key 'watch'"),
        ("trusted: true", "watch: models/*\n    complete_marker: done/yes",
         ":14: models[0] 'forest'.complete_marker: found 'done/yes', expected the name of a file, "
         "without '/'"),
        ("trusted: true", "device: GPU",
         ":13: models[0] 'forest'.device: found 'GPU', expected one of auto, cpu, gpu; "
         "did you mean 'gpu'?"),
        ("uri: models/forest/1", "uri: &uri [*uri]",
         ":10: models[0] 'forest'.uri[0]: refers to itself"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_line_that_says_where_and_what_instead(old, new, expected):
    found = problems(changed((old, new)))
    assert found[-1] == f"e.yaml{expected}"
    assert len(found) == (2 if "refers to itself" in expected else 1)


def test_all_mistakes_are_reported_in_the_order_of_the_file():
    text = changed(
        ("name: digits\n", ""),
        ("dtype: float32", "dtype: flot32"),
        ("framework: sklearn", "framework: sklern"),
        ("trusted: true", "trused: true"),
        ("framework: onnx", "framework: caffe"),
        ("max_batch_size: 1024", "max_batch_size: many"),
        ("value: 16000", "value: much"),
        ("op: argmax", "op: best"),
        ("output: [label, proba]", "output: label"),
    )
    found = problems(text)
    lines = [int(problem.split(":")[1]) for problem in found]
    assert lines == [1, 4, 8, 12, 14, 18, 20, 23, 26]


def test_unknown_kind_of_entry_blames_only_keys_that_no_kind_has():
    text = changed(
        ("framework: sklearn", "framework: caffe\n    module: a.B"),
        ("op: argmax, of: proba", "op: best, k: 1, decimals: 1, z: 2, of: [proba]"),
    )
    model, step, key = problems(text)
    assert "'forest'.framework: found 'caffe'" in model
    assert "'digit'.op: found 'best'" in step
    assert "'digit': unknown key 'z'" in key


def test_misspelt_kind_of_entry_is_taken_for_what_it_resembles():
    found = problems(changed(("op: argmax, of: proba", "op: softmx, of: [proba], argmax: 1")))
    assert ["did you mean 'softmax'?" in found[0], *(p.split(":", 2)[2] for p in found[1:])] == [
        True,
        " combine[1] 'digit'.of: found a list, expected a name",
        " combine[1] 'digit': unknown key 'argmax'; the keys are column, op, of",
    ]


def test_key_named_like_its_kind_misleads_nobody():
    found = problems(changed(("op: argmax, of: proba", "op: argmax, of: 5, argmax: 1")))
    assert found[0] == "e.yaml:24: combine[1] 'digit'.of: found 5, expected a name"
