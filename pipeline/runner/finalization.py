"""Keeps Beam from printing a traceback where a runner finalizes a bundle that asked for nothing.

Prism finalizes each bundle of a step that may ask for it; those where it did not are over by then.
"""

from __future__ import annotations

import traceback
from typing import Any

_HARMLESS = "Bundle is not in a finalizable state"


def answer_quietly() -> None:
    """Makes the workers in this process answer such a request, rather than raise."""
    from apache_beam.portability.api import beam_fn_api_pb2
    from apache_beam.runners.worker.sdk_worker import SdkWorker

    finalize = SdkWorker.finalize_bundle
    if getattr(finalize, "quiet", False):
        return

    def finalize_bundle(worker: Any, request: Any, instruction_id: str) -> Any:
        try:
            return finalize(worker, request, instruction_id)
        except RuntimeError as error:
            if _HARMLESS not in str(error):
                raise
            return beam_fn_api_pb2.InstructionResponse(
                instruction_id=instruction_id, error=traceback.format_exc()
            )

    finalize_bundle.quiet = True  # type: ignore[attr-defined]
    SdkWorker.finalize_bundle = finalize_bundle
