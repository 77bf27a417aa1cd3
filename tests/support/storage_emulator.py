"""The storage emulator with a condition that it lacks: create an object only where none is.

Started as the emulator itself: ``python -m tests.support.storage_emulator start ...``. It answers
one request after the other, so nothing comes between the look and the upload.
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from typing import Any

from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

_insert = objects.insert


def _insert_on_condition(request: Any, response: Any, storage: Any, *rest: Any) -> None:
    if request.query.get("ifGenerationMatch") == ["0"] and _exists(request, storage):
        response.status = HTTPStatus.PRECONDITION_FAILED
        response.json({"error": {"code": 412, "message": "conditionNotMet", "errors": []}})
        return
    _insert(request, response, storage, *rest)


def _exists(request: Any, storage: Any) -> bool:
    name = request.query["name"][0] if "name" in request.query else request.data["meta"]["name"]
    try:
        storage.get_file_obj(request.params["bucket_name"], name)
    except NotFound:
        return False
    return True


if __name__ == "__main__":
    objects.insert = _insert_on_condition  # before the server looks up its handlers
    sys.modules.pop("gcp_storage_emulator.server", None)
    from gcp_storage_emulator.__main__ import main

    main()
