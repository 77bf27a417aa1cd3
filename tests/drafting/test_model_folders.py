"""Which models lie in a folder: by names, or content where these do not say; newest versions."""

import pytest

from pipeline.drafting.model_folders import FoundModel, find_models
from tests.support.mlflow_folders import mlmodel

HEADS = {
    "boost/model.json": b'{"learner":{"attributes":{}',
    "boost/config.json": b'{"model_type": "x"}',
    "light/model.txt": b"tree\nversion=v4\n",
    "labels.txt": b"cat\ndog\n",
    "notes.json": b"[]",
    "both/model.model": b"tree\n",
    "vertex/model.bst": b"{L\0\0\0\0\0\0\0\x07learner{",
    "kserve/model.bst": b"tree\nversion=v4\n",
    "old/model.bst": bytes(136) + b"\x0f" + bytes(7) + b"binary:logistic",
    "tutorial/model.sav": b"\x80\x04\x95",
    "small/model.sav": b"x^\xbd",
    "spss/survey.sav": b"$FL2@(#) SPSS DATA FILE",
    "spm/tokenizer.model": b"\n\x0e\n",
}


def find(*files, root="models"):
    return find_models(files, root, lambda path: HEADS.get(path, b""))


@pytest.mark.parametrize(
    ("file", "framework"),
    [
        ("a.skops", "sklearn"),
        ("a.joblib", "sklearn"),
        ("a.pkl", "sklearn"),
        ("a.ONNX", "onnx"),
        ("a.pt", "torch"),
        ("a.pt2", "torch"),
        ("a.jit", "torch"),
        ("a.torchscript", "torch"),
        ("a.keras", "tensorflow"),
        ("a.ubj", "xgboost"),
        ("a.xgb", "xgboost"),
        ("a.lgb", "lightgbm"),
        ("a.cbm", "catboost"),
        ("a.cb", "catboost"),
    ],
)
def test_ending_tells_the_framework(file, framework):
    assert find(file) == [FoundModel("a", framework, file)]


def test_content_tells_files_apart_whose_ending_others_have_too():
    found = find(*HEADS)
    assert [(f.name, f.framework, f.path) for f in found] == [
        ("boost", "xgboost", "boost/model.json"),
        ("both", "lightgbm", "both/model.model"),
        ("kserve", "lightgbm", "kserve/model.bst"),
        ("light", "lightgbm", "light/model.txt"),
        ("small", "sklearn", "small/model.sav"),
        ("tutorial", "sklearn", "tutorial/model.sav"),
        ("vertex", "xgboost", "vertex/model.bst"),
    ]


def test_folders_of_mlflow_are_models_of_the_framework_that_their_flavour_names():
    flavours = ("sklearn", "keras", "lightgbm_estimator", "pyfunc")
    texts = {flavour: mlmodel(flavour) for flavour in flavours}
    heads = {f"{flavour}/2/MLmodel": text for flavour, text in texts.items()}
    files = [f for file in heads for f in (file, file.replace("MLmodel", "model.pkl"))]
    found = find_models(
        [*files, "sklearn/10/MLmodel"],
        "models",
        ({"sklearn/10/MLmodel": texts["sklearn"]} | heads).get,
    )
    assert found == [
        FoundModel("keras", "tensorflow", "keras/2", "keras/*"),
        FoundModel("lightgbm_estimator", "sklearn", "lightgbm_estimator/2", "lightgbm_estimator/*"),
        FoundModel("sklearn", "sklearn", "sklearn/10", "sklearn/*"),
    ]


def test_folders_that_are_models_as_a_whole_are_not_searched_further():
    found = find(
        "dense/1/saved_model.pb",
        "dense/1/variables/variables.index",
        "dense/1/assets/model.txt",
        "bert/config.json",
        "bert/model.safetensors",
        "bert/onnx/model.onnx",
        "old/tfhub_module.pb",
    )
    assert found == [
        FoundModel("bert", "transformers", "bert"),
        FoundModel("dense", "tensorflow", "dense/1", "dense/*"),
        FoundModel("old", "tensorflow", "old"),
    ]


def test_highest_version_that_holds_a_model_is_taken_as_a_number():
    assert find("clf/9/m.onnx", "clf/10/m.onnx", "clf/11/README.md", "clf/old/m.onnx") == [
        FoundModel("clf", "onnx", "clf/10", "clf/*")
    ]


def test_version_folder_with_several_files_of_a_kind_names_the_file():
    assert find("pair/v2/a.onnx", "pair/v2/b.onnx") == [
        FoundModel("pair_a", "onnx", "pair/v2/a.onnx", "pair/*/a.onnx"),
        FoundModel("pair_b", "onnx", "pair/v2/b.onnx", "pair/*/b.onnx"),
    ]
    assert find("boost/1/model.ubj", "boost/1/feature_names.json") == [
        FoundModel("boost", "xgboost", "boost/1/model.ubj", "boost/*/model.ubj")
    ]


def test_numbered_files_are_versions_and_other_numbers_are_not():
    assert find("clf/3.onnx", "clf/12.onnx") == [
        FoundModel("clf", "onnx", "clf/12.onnx", "clf/*.onnx")
    ]
    assert find("clf-v3.onnx", "clf-v4.onnx", "resnet50.onnx") == [
        FoundModel("clf", "onnx", "clf-v4.onnx", "clf-*.onnx"),
        FoundModel("resnet50", "onnx", "resnet50.onnx"),
    ]


def test_folder_that_is_a_model_or_holds_its_versions_gives_it_its_name():
    assert find("saved_model.pb", root="clf") == [FoundModel("clf", "tensorflow", ".")]
    assert find("1/m.skops", "2/m.skops", root="clf") == [FoundModel("clf", "sklearn", "2", "*")]


def test_names_are_usable_and_different():
    found = find("my model (1).onnx", "a/clf/m.onnx", "b/clf/m.onnx", "a.b/clf/m.pt", "9.keras")
    names = [model.name for model in found]
    assert names == ["models", "clf", "a_clf", "b_clf", "my_model_1"]


def test_hidden_files_and_folders_do_not_count():
    assert find(".git/a.onnx", ".a.onnx", "a/.tmp/1/m.onnx") == []
