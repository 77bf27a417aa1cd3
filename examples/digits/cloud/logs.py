"""Cloud Logging: how much a job says, and how long its image took to arrive."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cloud.rest import Json, Rest

HOST = "https://logging.googleapis.com"
_PAGES = 5
_PAGE = 1000
_PULLED = re.compile(r"Successfully pulled image .* in ((?:\d+h)?(?:\d+m)?[\d.]+m?s)")


class Logs:
    """The log of a project's jobs."""

    def __init__(self, rest: Rest, project: str) -> None:
        self._rest = rest
        self._project = project

    def lines_per_minute(self, job_id: str, since: float, until: float) -> str:
        """How many lines a job logs a minute.

        Args:
          job_id: of the job.
          since: begin, in seconds since 1970.
          until: end, the same.
        """
        at = [f'"{datetime.fromtimestamp(each, UTC).isoformat()}"' for each in (since, until)]
        count, is_all = 0, False
        token = ""
        for _ in range(_PAGES):
            found, token = self._page(job_id, f"timestamp>={at[0]} timestamp<={at[1]}", token)
            count += len(found)
            if is_all := not token:
                break
        minutes = max((until - since) / 60, 1e-9)
        return f"{'' if is_all else 'more than '}{count / minutes:.0f}"

    def image_pulls(self, job_id: str) -> str:
        """How long workers took to pull images, as the log has it."""
        found, _ = self._page(job_id, '"Successfully pulled image"', "")
        secs = [match[1] for each in found if (match := _PULLED.search(str(each)))]
        return ", ".join(secs) or "not in the log"

    def _page(self, job_id: str, condition: str, token: str) -> tuple[list[Json], str]:
        text = f'resource.type="dataflow_step" resource.labels.job_id="{job_id}" {condition}'
        body: Json = {
            "resourceNames": [f"projects/{self._project}"],
            "filter": text,
            "pageSize": _PAGE,
        }
        if token:
            body["pageToken"] = token
        answer = self._rest.call("POST", f"{HOST}/v2/entries:list", body)
        return list(answer.get("entries", ())), str(answer.get("nextPageToken", ""))
