"""Records of every kind of field, and what is read of a file of them."""

from pipeline.connectors.files import ranges as file_ranges
from pipeline.connectors.files.read import read_range
from pipeline.connectors.storage.paths import match_input
from pipeline.formats.format import Reading
from pipeline.formats.registry import decoders
from pipeline.spec.record import RecordSpec

RECORD = RecordSpec.model_validate(
    {
        "id": "id",
        "fields": {
            "x": {"dtype": "float32", "shape": [3]},
            "m": {"dtype": "float32", "shape": [2, 2]},
            "v": {"dtype": "float32", "shape": [None]},
            "n": {"dtype": "int16"},
            "k": {"dtype": "int64", "shape": [2]},
            "flag": {"dtype": "bool"},
            "text": {"dtype": "string"},
            "raw": {"dtype": "bytes"},
        },
    }
)


KEYS = ("id", *RECORD.fields, "tag")


def row(i, **changes):
    return {
        "id": f"r{i}",
        "x": [0.5, float(i), -1.25],
        "m": [[1.0, 2.0], [3.0, float(i)]],
        "v": [0.5] * (1 + i % 3),
        "n": i,
        "k": [i, -i],
        "flag": i % 2 == 0,
        "text": f'a "quoted", {i}\nsecond line',
        "raw": b"\xff\x00" + bytes([i % 256]),
        "tag": f"t{i}",
    } | changes


def blocks(path, block_rows=8, split_bytes=1 << 30, keys=KEYS, format="auto", most=32 << 20):
    reading = Reading(block_rows, format, keys, most, RECORD)
    return [
        block
        for file in match_input(str(path))
        for part in file_ranges.split_file(file, split_bytes, format)
        for block in read_range(part, reading)
    ]


def read(path, record=RECORD, pass_through=("tag",), **options):
    """The batches of a file, and what could not be read of it."""
    found = blocks(path, **options)
    decoder = decoders(record, pass_through)
    errors = [block.error for block in found if block.error]
    return [decoder[block.format].decode(block) for block in found], errors


def parts_of(path, split_bytes=1 << 30):
    """The ranges of a file as it is now."""
    (file,) = match_input(str(path))
    return list(file_ranges.split_file(file, split_bytes, record=RECORD))


def ids(batches):
    return [int(record_id[1:]) for batch in batches for record_id in batch.ids]
