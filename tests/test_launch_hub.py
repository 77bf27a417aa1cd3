"""What a launch for a service says of models from a hub."""

from dataclasses import replace

import pytest

from pipeline import options
from pipeline.core.graph import resolve
from pipeline.core.spec import EnsembleSpec
from pipeline.launch_hub import cache_problems

SETTINGS = options.parse(["--ensemble_spec=e.yaml", "--dry_run=true"]).settings
URL = "https://tfhub.dev/google/words/1"


@pytest.fixture
def problems():
    """Problems and remarks for a model at a URI."""

    def check(uri, folder, on_service=True):
        model = {
            "name": "words",
            "framework": "tensorflow",
            "uri": uri,
            "inputs": {"sentences": "text"},
            "outputs": {"output_0": "vector"},
        }
        spec = {
            "name": "texts",
            "record": {"fields": {"text": {"dtype": "string"}}},
            "models": [model],
        }
        said = []
        settings = replace(SETTINGS, model_cache_dir=folder)
        graph = resolve(EnsembleSpec.model_validate(spec))
        return cache_problems(settings, graph, on_service, said.append), said

    return check


def test_local_folder_is_no_place_for_the_modules_of_a_service(problems):
    ((problem,), _) = problems(URL, "/modules")
    assert problem.startswith("--model_cache_dir: found the local folder '/modules', expected one")
    assert problems(URL, "/modules", on_service=False) == ([], [])


def test_service_whose_workers_would_all_ask_the_hub_is_remarked_on(problems):
    (found, (said,)) = problems(URL, "")
    assert not found
    assert said.startswith("warning: every worker fetches 'words' from the hub by itself")
    assert problems(URL, "gs://bucket/modules") == ([], [])
    assert problems("gs://bucket/words/1", "") == ([], [])
