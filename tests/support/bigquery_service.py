"""A stub of the parts of BigQuery's REST API that Beam's and Google's clients really call.

It keeps tables in memory. Load jobs read the files from the storage emulator, export jobs write
Avro files there, as the service does: so what is in between is real.
https://cloud.google.com/bigquery/docs/reference/rest
"""

from __future__ import annotations

import base64
import datetime
import io
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fastavro

from tests.support.storage import Gcs

Row = dict[str, Any]
Schema = list[Row]
Reply = tuple[int, Row]
"""Status and body."""

PROJECT = "test-project"
_AVRO = {
    "STRING": "string",
    "INTEGER": "long",
    "INT64": "long",
    "FLOAT": "double",
    "FLOAT64": "double",
    "BOOLEAN": "boolean",
    "BOOL": "boolean",
    "BYTES": "bytes",
    "JSON": "string",
    "TIMESTAMP": {"type": "long", "logicalType": "timestamp-micros"},
    "DATE": {"type": "int", "logicalType": "date"},
    "NUMERIC": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 9},
}
_LEGACY = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}
_CHECKS: dict[str, Callable[[Any], bool]] = {
    "STRING": lambda v: isinstance(v, str),
    "BYTES": lambda v: isinstance(v, str) and base64.b64decode(v, validate=True) is not None,
    "INTEGER": lambda v: type(v) is int and -(1 << 63) <= v < 1 << 63,
    "NUMERIC": lambda v: Decimal(v) is not None,
    "FLOAT": lambda v: type(v) in (int, float),
    "BOOLEAN": lambda v: type(v) is bool,
    "TIMESTAMP": lambda v: datetime.datetime.fromisoformat(v).tzinfo is not None,
}


class BigQueryService:
    """The stub, listening on loopback.

    Attributes:
      url: where it listens.
      requests: "METHOD path" of everything asked.
      forbidden: patterns of how such texts begin; answered with 403.
      refusing: (table, id) of rows that insertAll refuses.
      queries: SQL -> (fields, rows) of its result; others are not valid.
      denied: permissions that testIamPermissions does not grant.
    """

    def __init__(self, gcs: Gcs) -> None:
        self.gcs = gcs
        self.datasets: set[str] = set()
        self.tables: dict[
            tuple[str, str], Row
        ] = {}  # (dataset, table) -> {"schema": fields, "rows": [...], "type": ...}
        self.jobs: dict[str, Row] = {}
        self.requests: list[str] = []
        self.forbidden: list[str] = []
        self.refusing: set[tuple[str, object]] = set()
        self.queries: dict[str, tuple[Schema, list[Row]]] = {
            "SELECT 1": ([{"name": "f0_", "type": "INTEGER"}], [{"f0_": 1}])
        }
        self.denied: set[str] = set()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add_table(
        self,
        dataset: str,
        table: str,
        schema: Mapping[str, Any],
        rows: Iterable[Row] = (),
        kind: str = "TABLE",
    ) -> str:
        """A table; `schema` as ``{"x": "FLOAT64[]", "y": {"z": "STRING"}}``, of which the latter
        is a list of structs. Returns its name."""
        self.datasets.add(dataset)
        self.tables[dataset, table] = {"schema": _fields(schema), "rows": list(rows), "type": kind}
        return f"{PROJECT}.{dataset}.{table}"

    def rows(self, name: str) -> list[Row]:
        """The rows of a table."""
        _, dataset, table = name.split(".")
        found: list[Row] = self.tables[dataset, table]["rows"]
        return found

    def schema(self, name: str) -> dict[str, str]:
        """Column -> type, with [] behind it where it is repeated."""
        _, dataset, table = name.split(".")
        return {
            f["name"]: f["type"] + ("[]" if f.get("mode") == "REPEATED" else "")
            for f in self.tables[dataset, table]["schema"]
        }

    def asked(self, part: str) -> int:
        """How many requests had `part` in them."""
        return sum(part in request for request in self.requests)

    # --- the API: each method returns (status, body)

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Row) -> Reply:
        line = f"{method} {path}"
        self.requests.append(line)
        if any(re.match(pattern, line) for pattern in self.forbidden):
            return _error(403, "Access Denied: said by the test", "accessDenied")
        for pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, line)
            if match:
                return answer(self, *match.groups(), body=body, query=query)
        return _error(501, f"the stub does not play {line}", "notImplemented")

    def get_dataset(self, dataset: str, **_: Any) -> Reply:
        if dataset not in self.datasets:
            return _error(404, f"Not found: Dataset {PROJECT}:{dataset}", "notFound")
        return 200, {"datasetReference": {"projectId": PROJECT, "datasetId": dataset}}

    def insert_dataset(self, body: Row, **_: Any) -> Reply:
        self.datasets.add(body["datasetReference"]["datasetId"])
        return 200, body

    def delete_dataset(self, dataset: str, **_: Any) -> Reply:
        self.datasets.discard(dataset)
        self.tables = {key: table for key, table in self.tables.items() if key[0] != dataset}
        return 200, {}

    def get_table(self, dataset: str, table: str, **_: Any) -> Reply:
        found = self.tables.get((dataset, table))
        if found is None:
            return _error(404, f"Not found: Table {PROJECT}:{dataset}.{table}", "notFound")
        return 200, {
            "tableReference": {"projectId": PROJECT, "datasetId": dataset, "tableId": table},
            "schema": {"fields": found["schema"]},
            "type": found["type"],
            "numBytes": str(len(json.dumps(found["rows"], default=str))),
            "location": "EU",
        }

    def insert_table(self, dataset: str, body: Row, **_: Any) -> Reply:
        table = body["tableReference"]["tableId"]
        if (dataset, table) in self.tables:
            return _error(409, f"Already Exists: Table {PROJECT}:{dataset}.{table}", "duplicate")
        fields = [_with_legacy_types(field) for field in body["schema"]["fields"]]
        self.tables[dataset, table] = {"schema": fields, "rows": [], "type": "TABLE"}
        return self.get_table(dataset, table)

    def test_permissions(self, dataset: str, table: str, body: Row, **_: Any) -> Reply:
        return 200, {"permissions": [p for p in body["permissions"] if p not in self.denied]}

    def insert_all(self, dataset: str, table: str, body: Row, **_: Any) -> Reply:
        found = self.tables.get((dataset, table))
        if found is None:
            return _error(404, f"Not found: Table {PROJECT}:{dataset}.{table}", "notFound")
        errors, good = [], []
        for index, entry in enumerate(body["rows"]):
            row = entry["json"]
            wrong = _wrong(row, found["schema"])
            if (table, row.get("id")) in self.refusing:
                wrong = {"reason": "invalid", "location": "id", "message": "refused by the test"}
            if wrong:
                errors.append({"index": index, "errors": [wrong]})
            else:
                good.append(row)
        if errors and not body.get("skipInvalidRows"):
            stopped = [{"index": i, "errors": [{"reason": "stopped"}]} for i in range(len(good))]
            return 200, {"insertErrors": errors + stopped}
        found["rows"] += good
        return 200, {"insertErrors": errors} if errors else {}

    def insert_job(self, body: Row, **_: Any) -> Reply:
        configuration = body["configuration"]
        kind = next(k for k in ("query", "load", "extract") if configuration.get(k))
        work = getattr(self, f"_{kind}")
        try:
            statistics = work(configuration[kind], configuration.get("dryRun", False))
            state: Row = {"state": "DONE"}
        except _QueryError as error:
            return _error(400, str(error), "invalidQuery")
        except ValueError as error:
            statistics = {}
            state = {"state": "DONE", "errorResult": {"reason": "invalid", "message": str(error)}}
        job = {**body, "status": state, "statistics": statistics}
        job.setdefault("jobReference", {}).setdefault("jobId", "dry-run")
        job["jobReference"].update(projectId=PROJECT, location="EU")
        job["id"] = f"{PROJECT}:EU.{job['jobReference']['jobId']}"
        self.jobs[job["jobReference"]["jobId"]] = job
        return 200, job

    def get_job(self, job: str, **_: Any) -> Reply:
        return 200, self.jobs[job]

    def _query(self, query: Row, dry_run: bool) -> Row:
        if query["query"] not in self.queries:
            raise _QueryError(f"Syntax error in {query['query']!r}")
        fields, rows = self.queries[query["query"]]
        if not dry_run:
            to = query["destinationTable"]
            key = to["datasetId"], to["tableId"]
            self.tables[key] = {"schema": fields, "rows": list(rows), "type": "TABLE"}
        return {"query": {"schema": {"fields": fields}, "totalBytesProcessed": "1000"}}

    def _load(self, load: Row, _: Any) -> Row:
        to = load["destinationTable"]
        assert load["createDisposition"] == "CREATE_NEVER"
        assert load["writeDisposition"] == "WRITE_APPEND"
        table = self.tables[to["datasetId"], to["tableId"]]
        rows = []
        for uri in load["sourceUris"]:
            rows += [json.loads(line) for line in self.gcs.download(uri).splitlines()]
        for row in rows:
            if wrong := _wrong(row, table["schema"]):
                raise ValueError(wrong["message"])
        table["rows"] += rows
        return {"load": {"outputRows": str(len(rows))}}

    def _extract(self, extract: Row, _: Any) -> Row:
        at = extract["sourceTable"]
        table = self.tables[at["datasetId"], at["tableId"]]
        assert (extract["destinationFormat"], extract["useAvroLogicalTypes"]) == ("AVRO", True)
        (pattern,) = extract["destinationUris"]
        half = (len(table["rows"]) + 1) // 2
        for number, rows in enumerate((table["rows"][:half], table["rows"][half:])):
            self.gcs.upload(pattern.replace("*", f"{number:012d}"), _avro(table["schema"], rows))
        return {"extract": {"destinationUriFileCounts": ["2"]}}


class _QueryError(Exception):
    pass


_DATASET = "/bigquery/v2/projects/[^/]+/datasets"
_TABLE = rf"{_DATASET}/([^/]+)/tables/([^/:]+)"
_ROUTES: list[tuple[str, Callable[..., Reply]]] = [
    (rf"GET {_DATASET}/([^/]+)", BigQueryService.get_dataset),
    (rf"POST {_DATASET}", BigQueryService.insert_dataset),
    (rf"DELETE {_DATASET}/([^/]+)", BigQueryService.delete_dataset),
    (rf"GET {_TABLE}", BigQueryService.get_table),
    (rf"POST {_DATASET}/([^/]+)/tables", BigQueryService.insert_table),
    (rf"POST {_TABLE}:testIamPermissions", BigQueryService.test_permissions),
    (rf"POST {_TABLE}/insertAll", BigQueryService.insert_all),
    (r"POST /bigquery/v2/projects/[^/]+/jobs", BigQueryService.insert_job),
    (r"GET /bigquery/v2/projects/[^/]+/jobs/([^/]+)", BigQueryService.get_job),
]


def _error(status: int, message: str, reason: str) -> Reply:
    error = {"code": status, "message": message, "errors": [{"reason": reason}]}
    return status, {"error": error}


def _legacy(kind: str) -> str:
    return _LEGACY.get(kind, kind)


def _with_legacy_types(field: Row) -> Row:
    inner = (
        {"fields": [_with_legacy_types(f) for f in field["fields"]]} if "fields" in field else {}
    )
    return {**field, "type": _legacy(field["type"]), **inner}


def _fields(schema: Mapping[str, Any]) -> Schema:
    return [
        {"name": name, "mode": "REPEATED", "type": "RECORD", "fields": _fields(type_)}
        if isinstance(type_, dict)
        else {
            "name": name,
            "type": _legacy(type_.removesuffix("[]")),
            "mode": "REPEATED" if type_.endswith("[]") else "NULLABLE",
        }
        for name, type_ in schema.items()
    ]


def _wrong(row: Row, schema: Schema) -> dict[str, str] | None:
    """What the service would say of a row that does not fit."""
    fields = {field["name"]: field for field in schema}
    for name, value in row.items():
        if name not in fields:
            return {"reason": "invalid", "location": name, "message": f"no such field: {name}."}
        field = fields[name]
        repeated = field.get("mode") == "REPEATED"
        if repeated != isinstance(value, list):
            return {"reason": "invalid", "location": name, "message": "This field is (not) a list"}
        for part in value if repeated else [value]:
            if part is not None and not _fits(part, field):
                message = f"cannot convert {part!r} to {field['type']}"
                return {"reason": "invalid", "location": name, "message": message}
    return None


def _fits(value: Any, field: Row) -> bool:
    if field["type"] == "RECORD":
        return isinstance(value, dict) and _wrong(value, field["fields"]) is None
    try:
        return bool(_CHECKS[field["type"]](value))
    except (ValueError, TypeError, ArithmeticError):
        return False


def _avro(schema: Schema, rows: Iterable[Row]) -> bytes:
    fields = []
    for field in schema:
        plain = _AVRO[field["type"]]
        mode = field.get("mode", "NULLABLE")
        avro = {"type": "array", "items": plain} if mode == "REPEATED" else ["null", plain]
        fields.append({"name": field["name"], "type": plain if mode == "REQUIRED" else avro})
    out = io.BytesIO()
    record = {"type": "record", "name": "Root", "fields": fields}
    fastavro.writer(out, fastavro.parse_schema(record), rows, codec="deflate")
    return out.getvalue()


class _Server(ThreadingHTTPServer):
    def __init__(self, service: BigQueryService) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.service = service


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            import gzip

            data = gzip.decompress(data)
        url = urlsplit(self.path)
        body = json.loads(data) if data else {}
        status, answer = self.server.service.answer(
            self.command, url.path, parse_qs(url.query), body
        )
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the names that it looks for

    def log_message(self, *_: Any) -> None:
        pass
