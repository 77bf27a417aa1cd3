"""What a launch for a service says of models from a hub."""

import pytest

from pipeline.launch.placement import Placement, RemotePlacement
from pipeline.spec.ensemble import EnsembleSpec
from pipeline.spec.graph import resolve

ELSEWHERE = RemotePlacement(1, threads_share_models=True, several_processes=True)
HERE = Placement(1, threads_share_models=False, several_processes=False)
URL = "https://tfhub.dev/google/words/1"


@pytest.fixture
def problems():
    """Problems and remarks for a model at a URI."""

    def check(uri, folder, placement=ELSEWHERE):
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
        graph = resolve(EnsembleSpec.model_validate(spec))
        return placement.cache_problems(folder, graph, said.append), said

    return check


def test_local_folder_is_no_place_for_the_modules_of_a_service(problems):
    ((problem,), _) = problems(URL, "/modules")
    assert problem.startswith("--model_cache_dir: found the local folder '/modules', expected one")
    assert problems(URL, "/modules", placement=HERE) == ([], [])


def test_service_whose_workers_would_all_ask_the_hub_is_remarked_on(problems):
    (found, (said,)) = problems(URL, "")
    assert not found
    assert said.startswith("warning: every worker fetches 'words' from the hub by itself")
    assert problems(URL, "gs://bucket/modules") == ([], [])
    assert problems("gs://bucket/words/1", "") == ([], [])
