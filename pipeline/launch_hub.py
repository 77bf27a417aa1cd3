"""Models from a hub, looked at before a job starts."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.core.graph import Graph
from pipeline.core.hub_url import is_hub_url
from pipeline.serving.artifacts import is_local
from pipeline.settings import Settings


def cache_problems(
    settings: Settings, graph: Graph, on_service: bool, say: Callable[[str], None]
) -> list[str]:
    """What is wrong with ``--model_cache_dir`` for a job that runs elsewhere.

    Args:
      settings: the parameters.
      graph: the ensemble.
      on_service: the job will run on other machines.
      say: told what is not wrong, but costs.
    """
    if not on_service:
        return []
    folder = settings.model_cache_dir
    if folder and is_local(folder):
        return [
            f"--model_cache_dir: found the local folder '{folder}', expected one that the "
            "service's workers can read: gs://BUCKET/FOLDER"
        ]
    names = [model.name for model in graph.models if is_hub_url(model.uri)]
    if names and not folder:
        shown = ", ".join(f"'{name}'" for name in names)
        say(
            f"warning: every worker fetches {shown} from the hub by itself, and needs access to "
            "the internet; with --model_cache_dir=gs://BUCKET/FOLDER only this launch does"
        )
    return []
