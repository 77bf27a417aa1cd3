"""Times as people read them, UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from pipeline.report.page.markup import Markup, element


def from_us(time_us: int) -> datetime:
    """A time in microseconds since 1970."""
    return datetime.fromtimestamp(time_us / 1e6, UTC)


def moment(time: datetime) -> Markup:
    """``2026-11-22 09:13:44``; the `datetime` attribute has the milliseconds."""
    return element(
        "time",
        f"{time:%Y-%m-%d %H:%M:%S}",
        datetime=time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )
