"""The whole run: make what is needed, launch both jobs, prove them, measure."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from streaming import versions

from cloud.batch import BatchJob
from cloud.bounds import Bounds
from cloud.cost import job_usd
from cloud.dataflow import Dataflow
from cloud.findings import Findings
from cloud.logs import Logs
from cloud.outputs import StreamOutputs
from cloud.pubsub import PubSub
from cloud.rest import Rest
from cloud.settings import PUBLISHED, TOPICS_IN, TOPICS_OUT, Settings
from cloud.storage import Storage
from cloud.stream import StreamJob

_ROOT = Path(__file__).parents[3]
_BATCH_SIZE = "inference_request_batch_size"


class Play:
    """One run.

    Args:
      rest: Google's services.
      settings: the command line.
      findings: takes what is found.
      say: prints a line of progress.
    """

    def __init__(
        self, rest: Rest, settings: Settings, findings: Findings, say: Callable[[str], None]
    ) -> None:
        self._rest = rest
        self._settings = settings
        self._findings = findings
        self._say = say
        self._dataflow = Dataflow(rest, settings)
        self._pubsub = PubSub(rest)
        self._storage = Storage(rest)
        self._bounds = Bounds(
            self._dataflow,
            settings.max_minutes,
            settings.max_usd,
            settings.poll_secs,
            settings.dry_run,
        )

    def run(self) -> None:
        """Everything but the removal.

        Raises:
          RunError, ApiError: it cannot go on.
        """
        self._say("uploading the demo")
        self._upload()
        self._say("making topics and subscriptions")
        self._make_topics()
        parts = (self._dataflow, self._storage, self._settings, self._bounds)
        batch = BatchJob(*parts, self._findings)
        stream = StreamJob(*parts, StreamOutputs(self._pubsub, self._settings), self._findings)
        self._say("launching a batch job, a stream, and the check of --dry_run=true")
        began = time.time()
        batch.launch()
        stream.launch()
        check = self._launch_check()
        first = stream.job_id
        try:
            self._say("the stream")
            stream.prove()
            self._say("the batch job")
            batch.prove()
        finally:
            self._say("measuring")
            self._measure(first, check, began)

    def _upload(self) -> None:
        told, folder = self._settings, self._settings.folder
        if told.image != PUBLISHED:
            metadata = json.loads((_ROOT / "metadata.json").read_text())
            spec = {"image": told.image, "sdkInfo": {"language": "PYTHON"}, "metadata": metadata}
            self._storage.upload(told.template, json.dumps(spec).encode())
        for name in ("ensemble.yaml", "models", "records"):
            self._upload_all(told.output_dir / name, f"{folder}/batch/{name}")
        with tempfile.TemporaryDirectory() as made:
            versions.prepare(told.output_dir, Path(made))
            self._upload_all(Path(made), f"{folder}/stream")

    def _upload_all(self, path: Path, uri: str) -> None:
        for each in [path] if path.is_file() else sorted(path.rglob("*")):
            if each.is_file():
                name = "" if each == path else f"/{each.relative_to(path)}"
                self._storage.upload(f"{uri}{name}", each.read_bytes())

    def _make_topics(self) -> None:
        told, account = self._settings, self._settings.service_account
        for name in (*TOPICS_IN, *TOPICS_OUT):
            topic, subscription = told.topic(name), told.subscription(name)
            self._pubsub.create_topic(topic)
            self._pubsub.create_subscription(subscription, topic)
            if name in TOPICS_IN:
                roles = ("roles/pubsub.subscriber", "roles/pubsub.viewer")
                self._pubsub.grant(subscription, account, *roles)
            else:
                self._pubsub.grant(topic, account, "roles/pubsub.publisher")

    def _launch_check(self) -> str:
        """A launch with --dry_run=true: nobody knows yet what the service makes of it."""
        folder = self._settings.folder
        parameters = {
            "ensemble_spec": f"{folder}/batch/ensemble.yaml",
            "input_file_pattern": f"{folder}/batch/records/*.jsonl*",
            "output_path": f"{folder}/check/predictions",
            "dry_run": "true",
        }
        return self._dataflow.launch(self._settings.job("check"), parameters)

    def _measure(self, stream_id: str, check_id: str, began: float) -> None:
        logs = Logs(self._rest, self._settings.project)
        say = self._findings.measure
        for job_id, (kind, name) in self._bounds.jobs.items():
            metrics = self._dataflow.metrics(job_id)
            say(f"{name} ({job_id}), vCPU hours", f"{metrics.vcpu_hours:.3f}")
            say(f"{name} ({job_id}), USD at list price", f"{job_usd(kind, metrics):.3f}")
            found = [
                each
                for n, e in metrics.distributions.items()
                if n.endswith(_BATCH_SIZE)
                for each in e
            ]
            if found:
                sizes = max(found, key=lambda each: float(each.get("count", 0)))
                shown = ", ".join(f"{key} {sizes.get(key)}" for key in ("min", "mean", "max"))
                say(f"{name} ({job_id}), records of a batch", shown)
        say("image pull of the stream's workers", logs.image_pulls(stream_id))
        say(
            "log lines a minute of the stream", logs.lines_per_minute(stream_id, began, time.time())
        )
        end = self._dataflow.state(check_id)
        last = [text for _, text in self._dataflow.messages(check_id)][-1:]
        say("--dry_run=true as a launch", f"{end.name}: {' '.join(last) or 'no message'}")
