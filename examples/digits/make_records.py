"""Writes the held-out digits as JSON lines, with a handful of broken lines spread among them.

    python examples/digits/make_records.py --output_dir build/digits

writes ``records/held-out-000.jsonl`` and ``records/held-out-001.jsonl.gz``, the same bytes in every
run. The broken lines are what goes wrong in real files; each of them has to end as a dead letter.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

from data import Images, split


def good_lines(images: Images) -> list[bytes]:
    """One JSON object for each image; the number in its id is its row in scikit-learn's set."""
    return [
        json.dumps(
            {
                "id": f"digit-{row:04d}",
                "pixels": [round(float(pixel), 4) for pixel in pixels],
                "digit": int(digit),
            }
        ).encode()
        for row, pixels, digit in zip(images.rows, images.pixels, images.digits, strict=True)
    ]


def broken_lines(good: bytes) -> list[bytes]:
    """One line for each thing that goes wrong, made from a good one."""
    record = json.loads(good)
    pixels = record["pixels"]

    def changed(record_id: str, **fields: object) -> bytes:
        return json.dumps({**record, "id": record_id, **fields}).encode()

    return [
        b"id,pixels,digit",  # not JSON
        good[: len(good) // 2],  # cut short
        b"",  # empty
        json.dumps(pixels).encode(),  # a list in place of an object
        json.dumps({"id": "broken-no-pixels", "digit": record["digit"]}).encode(),
        changed("broken-63-pixels", pixels=pixels[:63]),
        changed("broken-text", pixels=["dark", *pixels[1:]]),
        changed("broken-1e39", pixels=[1e39, *pixels[1:]]),  # valid JSON, infinite as float32
        changed("broken-latin-1", note="?").replace(b"?", "é".encode("latin-1")),  # not UTF-8
    ]


def spread(good: list[bytes], broken: list[bytes]) -> list[bytes]:
    """All lines, the broken ones at even distances, none of them first or last."""
    lines = list(good)
    for i, line in reversed(list(enumerate(broken, start=1))):
        lines.insert(i * len(good) // (len(broken) + 1), line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes the held-out digits as JSON lines.")
    parser.add_argument("--output_dir", type=Path, default=Path("build/digits"))
    folder = parser.parse_args().output_dir / "records"

    _, held_out = split()
    good = good_lines(held_out)
    broken = broken_lines(good[0])
    lines = spread(good, broken)
    half = len(lines) // 2

    folder.mkdir(parents=True, exist_ok=True)
    plain, compressed = folder / "held-out-000.jsonl", folder / "held-out-001.jsonl.gz"
    plain.write_bytes(b"".join(line + b"\n" for line in lines[:half]))
    content = b"".join(line + b"\n" for line in lines[half:])
    compressed.write_bytes(gzip.compress(content, mtime=0))  # a time would change the bytes
    print(f"{len(good)} good and {len(broken)} broken lines in {plain} and {compressed}")


if __name__ == "__main__":
    main()
