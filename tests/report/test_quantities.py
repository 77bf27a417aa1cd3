"""Quantities as people read them."""

import pytest

from pipeline.report import quantities


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0 %"),
        (10, 10, "100 %"),
        (9, 509, "1.8 %"),
        (1, 10_000, "< 0.1 %"),
        (9_999, 10_000, "> 99.9 %"),
        (0, 0, "none"),
    ],
)
def test_share_never_rounds_to_all_or_nothing(part, whole, text):
    assert quantities.share(part, whole) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (0.99951, "0.9995"),
        (-12.5, "-12.5"),
        (12_345.678, "12,346"),
        (1.234e-9, "1.2e-09"),
        (5e12, "5e+12"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert quantities.number(value) == text


@pytest.mark.parametrize(
    ("secs", "text"),
    [
        (0.0042, "4 ms"),
        (0.9996, "1 s"),
        (3.14, "3.1 s"),
        (99.96, "1 min 40 s"),
        (3600, "1 h"),
        (3725, "1 h 2 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_durations_have_two_units_at_most(secs, text):
    assert quantities.duration(secs) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5120.0 GiB")],
)
def test_sizes_have_binary_units(size_bytes, text):
    assert quantities.size(size_bytes) == text
