"""A job whose ensemble, models and input lie in an emulated bucket, as those of a real one do."""

from __future__ import annotations

import json

import numpy as np
import yaml
from apache_beam.portability.api import beam_runner_api_pb2

from tests.support.jobs import Job, record

ROWS = np.random.default_rng(3).normal(size=(40, 4)).round(3)


class StoredJob:
    """The two affine models of the `artifacts` fixture over `ROWS`, in a bucket of its own.

    Args:
      gcs: the emulated storage.
      folder: an empty local folder.
      artifacts: the folder of the models.
      models: names of those that the ensemble has.
    """

    def __init__(self, gcs, folder, artifacts, models=("linear", "net")):
        self.gcs = gcs
        self.bucket = gcs.new_bucket()
        self.template_location = f"{self.bucket}/staging/template_launches/1/job_object"
        for path in artifacts.rglob("*"):
            if path.is_file():
                uri = f"{self.bucket}/models/{path.relative_to(artifacts)}"
                gcs.upload(uri, path.read_bytes())
        spec = Job(folder, artifacts).spec
        spec["models"] = [model for model in spec["models"] if model["name"] in models]
        for model in spec["models"]:
            model["uri"] = model["uri"].replace(str(artifacts), "models")
        if len(models) == 1:
            del spec["combine"], spec["output"]
        gcs.upload(f"{self.bucket}/ensemble.yaml", yaml.safe_dump(spec))
        lines = [json.dumps(record(i, row)) for i, row in enumerate(ROWS)]
        gcs.upload(f"{self.bucket}/in/a.jsonl", "\n".join(lines) + "\n")

    def request(self, environment=None, **parameters):
        """A launch request for it; `parameters` add to or replace those of a batch job.

        None takes one away.
        """
        parameters = {
            "ensemble_spec": f"{self.bucket}/ensemble.yaml",
            "input_file_pattern": f"{self.bucket}/in/*",
            "output_path": f"{self.bucket}/out/p",
            **parameters,
        }
        return {
            "jobName": "ensemble-20250101",
            "parameters": {name: text for name, text in parameters.items() if text is not None},
            "environment": {
                "tempLocation": f"{self.bucket}/tmp",
                "stagingLocation": f"{self.bucket}/staging",
                "serviceAccountEmail": "runner@test-project.iam.gserviceaccount.com",
                **(environment or {}),
            },
        }

    def job_object(self):
        """What a launch wrote to `template_location`."""
        return json.loads(self.gcs.download(self.template_location))

    def staged(self):
        """The URIs of everything that a launch left below the staging and temp locations."""
        return self.gcs.list(f"{self.bucket}/staging") + self.gcs.list(f"{self.bucket}/tmp")

    def pipeline(self, job):
        """The pipeline proto that a job object names."""
        uri = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        return beam_runner_api_pb2.Pipeline.FromString(self.gcs.download(uri))

    def lines(self, prefix):
        """The JSON lines of all files whose names begin with `prefix`."""
        return [
            json.loads(line)
            for uri in self.gcs.list(f"{self.bucket}/{prefix}")
            for line in self.gcs.download(uri).splitlines()
        ]
