"""Models from a hub, looked at before a job starts."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.spec.graph import Graph
from pipeline.spec.uris import is_hub_url, is_local


def cache_problems(folder: str, graph: Graph, say: Callable[[str], None]) -> list[str]:
    """What is wrong with ``--model_cache_dir`` for a job on other machines.

    Args:
      folder: `--model_cache_dir`; empty where none was given.
      graph: the ensemble.
      say: told what is not wrong, but costs.
    """
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
