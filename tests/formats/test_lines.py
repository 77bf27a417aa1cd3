import bz2
import gzip
import io
import lzma
import random
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.batch.payloads import Lines
from pipeline.formats import lines

COMPRESS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "bzip2": bz2.compress,
    "lzma": lzma.compress,
    "zstd": zstandard.compress,
}
BOM = b"\xef\xbb\xbf"

line = st.one_of(
    st.sampled_from([b"", b"\r", "naïve 数字 🎲".encode(), BOM, b"x" * 40]),
    st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"")),
)


@st.composite
def contents(draw):
    """A text file: any mix of line ends, with or without a last one, with or without BOM."""
    ended = [text + draw(st.sampled_from([b"\n", b"\r\n"])) for text in draw(st.lists(line))]
    return draw(st.sampled_from([b"", BOM])) + b"".join(ended) + draw(line)


def reference(content):
    found = content.removeprefix(BOM).replace(b"\r\n", b"\n").split(b"\n")
    return found if found[-1] else found[:-1]


def read_ranges(content, split_bytes, chunk_bytes, most=1000):
    for start in range(0, len(content), split_bytes):
        end = min(start + split_bytes, len(content))
        text = lines.text_of_range(io.BytesIO(content), start, end, chunk_bytes)
        if start == 0:
            text = lines.without_bom(text)
        for found in lines.split_lines(text, most):
            yield from [found] if isinstance(found, lines.LongLine) else found


@given(contents(), st.integers(1, 50), st.integers(1, 50))
def test_ranges_together_yield_each_line_once_and_in_order(content, split_bytes, chunk_bytes):
    assert list(read_ranges(content, split_bytes, chunk_bytes)) == reference(content)


@given(contents(), st.integers(1, 50), st.integers(1, 50), st.integers(1, 30))
def test_only_lines_that_are_too_long_are_passed_over(content, split_bytes, chunk_bytes, most):
    found = list(read_ranges(content, split_bytes, chunk_bytes, most))
    whole = [line for line in found if isinstance(line, bytes)]
    assert all(len(line) <= most for line in whole)
    # The carriage return of a line end that comes in another chunk may count.
    short = [line for line in reference(content) if len(line) < most]
    assert [line for line in whole if len(line) < most] == short
    long = [line for line in found if isinstance(line, lines.LongLine)]
    assert len(whole) + len(long) == len(reference(content))
    assert all(line.length > most for line in long)


def test_endless_line_takes_no_memory_and_costs_itself_only():
    data = gzip.compress(b'{"a": 1}\n' + b" " * (64 << 20) + b'\n{"a": 2}\n')
    assert len(data) < 1 << 17
    text = lines.decompressed(io.BytesIO(data), "gzip")
    tracemalloc.start()
    first, long, last = lines.in_blocks(lines.split_lines(text, 1 << 20), 8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (first, last) == ((b'{"a": 1}',), (b'{"a": 2}',))
    assert long == lines.LongLine(b" " * 40, 64 << 20)
    assert peak < 8 << 20


def test_range_inside_a_long_line_does_not_read_to_its_end():
    file = io.BytesIO(b"x" * 1_000_000)
    assert list(lines.text_of_range(file, 100, 200, chunk_bytes=100)) == []
    assert file.tell() <= 300


@pytest.mark.parametrize("compression", COMPRESS)
@given(st.lists(contents(), min_size=1, max_size=3), st.integers(1, 2000))
def test_concatenated_members_decompress_to_the_concatenated_text(compression, parts, chunk_bytes):
    file = io.BytesIO(b"".join(COMPRESS[compression](part) for part in parts))
    assert b"".join(lines.decompressed(file, compression, chunk_bytes)) == b"".join(parts)


def read_compressed(data, compression):
    text = lines.decompressed(io.BytesIO(data), compression)
    for block in lines.in_blocks(lines.split_lines(text), 64, 1 << 20):
        yield from block


def records(n):
    rng = random.Random(1)
    return b"".join(b'{"id": %d, "x": %r}\n' % (i, str(rng.random()).encode()) for i in range(n))


@pytest.mark.parametrize("compression", COMPRESS)
def test_truncated_file_yields_its_whole_lines_then_fails(compression):
    # Several blocks, for the formats that give nothing out before a block is whole.
    text = records(1000)
    data = COMPRESS[compression](text) + COMPRESS[compression](text)[:-10]
    found = []
    with pytest.raises(lines.DamagedFileError, match="ends amid its compressed data"):
        found.extend(read_compressed(data, compression))
    whole = (text + text).split(b"\n")
    assert found == whole[: len(found)]
    assert len(found) >= 1000


def test_damaged_gzip_loses_at_most_the_lines_around_the_damage():
    text = records(20_000)
    data = bytearray(gzip.compress(text))
    data[-8] ^= 0xFF  # the checksum at the end: all of the text is readable
    found = []
    with pytest.raises(lines.DamagedFileError, match="incorrect data check") as caught:
        found.extend(read_compressed(data, "gzip"))
    assert found == text.split(b"\n")[: len(found)]
    assert 20_000 - len(found) < 100
    assert len(b"\n".join(found)) <= caught.value.text_bytes <= len(text)


def test_failing_storage_is_not_taken_for_a_damaged_file():
    class Unplugged(io.BytesIO):
        def read(self, size=-1):
            raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        list(lines.decompressed(Unplugged(), "gzip"))


def test_blocks_are_bounded_in_rows_and_bytes():
    short = [Lines.of([b"x"] * 25), Lines.of([b"x"] * 6)]
    assert [len(block) for block in lines.in_blocks(short, 10, 1000)] == [10, 10, 10, 1]
    long = [Lines.of([b"x" * 400])] * 7
    assert [len(block) for block in lines.in_blocks(long, 10, 1000)] == [3, 3, 1]


def test_memory_stays_flat_while_repetitive_text_swells():
    # 16 MiB of text from 16 KiB of gzip.
    data = gzip.compress(b'{"pixels": [0, 0, 0, 0, 0, 0]}\n' * (1 << 19))
    tracemalloc.start()
    total = sum(1 for _ in read_compressed(data, "gzip"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 1 << 19
    assert peak < 12 << 20
