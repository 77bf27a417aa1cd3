"""Quantities as people read them."""

from __future__ import annotations

import math


def count(number: int) -> str:
    """``1,234,567``."""
    return f"{number:,}"


def share(part: float, whole: float) -> str:
    """``1.8 %``; 0 % only of nothing, 100 % only of all."""
    if not whole:
        return "none"
    ratio = part / whole
    if 0 < ratio < 0.001:
        text = "< 0.1"
    elif 0.999 < ratio < 1:
        text = "> 99.9"
    else:
        text = f"{100 * ratio:.1f}".removesuffix(".0")
    return f"{text} %"


def number(value: float, digits: int = 4) -> str:
    """So many significant digits: ``0.9995``, ``12,346``; two of very large or small ones."""
    if value == 0 or not math.isfinite(value):
        return f"{value + 0.0:g}"
    if 1e-4 <= abs(value) < 1e7:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if decimals else text
    return f"{value:.2g}"


def duration(secs: float) -> str:
    """``250 ms``, ``3.1 s``, ``2 min 5 s``, ``1 h 2 min``, ``3 d 4 h``."""
    if secs < 0.9995:
        return f"{1000 * secs:.0f} ms"
    if secs < 99.95:
        return f"{secs:.1f}".removesuffix(".0") + " s"
    whole, parts = round(secs), []
    for unit_secs, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if whole >= unit_secs:
            parts.append(f"{whole // unit_secs} {unit}")
            whole %= unit_secs
    return " ".join(parts[:2])


def size(size_bytes: int) -> str:
    """``1.4 MiB``."""
    value, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
