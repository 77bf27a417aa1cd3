"""The client of Cloud Storage for what Beam's file systems lack: generations and conditions.

It has Beam's credentials (https://docs.cloud.google.com/storage/docs/json_api).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from apache_beam.io.gcp.gcsio import create_storage_client
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions


def gcs_client(options: PipelineOptions) -> Any:
    """A client; the same one for the same options.

    Args:
      options: Beam's, for its credentials. None are used with ``--no_auth``, nor where an emulator
        answers for the storage (``STORAGE_EMULATOR_HOST``).
    """
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    no_auth = bool(emulator or options.view_as(GoogleCloudOptions).no_auth)
    return _client(emulator, no_auth, options)


@lru_cache(maxsize=64)  # each copy of a step brings its own options
def _client(emulator: str | None, no_auth: bool, options: PipelineOptions) -> Any:
    """A client connects to the emulator by itself, so there is one for each address."""
    return create_storage_client(options, use_credentials=not no_auth)
