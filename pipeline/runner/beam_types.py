"""Base classes of Beam, with types.

Beam marks itself as typed and is not: to a type checker its classes are `Any`, which no class
should have as a base. At run time these names are Beam's own classes. To a type checker they have
the few members below, which are what this project uses. What Beam finds by name in a subclass
(`process`, `expand`, `encode`) is left out, since its arguments are the subclass's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])

if TYPE_CHECKING:

    class DoFn:
        """A function on elements, run by a ParDo."""

        BundleFinalizerParam: Any
        RestrictionParam: Any
        StateParam: Any
        TimerParam: Any
        TimestampParam: Any
        WindowParam: Any
        WatermarkEstimatorParam: Any

        @staticmethod
        def unbounded_per_element() -> Callable[[_Function], _Function]:
            """Mark a `process` that may emit for ever."""

    class CombineFn:
        """A fold of many elements into one, in parts."""

    class PTransform:
        """A step of the graph; `"Label" >> step` names it."""

        def __rrshift__(self, label: str) -> Any: ...

    class Coder:
        """Turns values into bytes and back."""

    class RestrictionProvider:
        """Says what a splittable DoFn has to do for an element."""

    class RestrictionTracker:
        """Follows a splittable DoFn through its restriction."""

    class OffsetRestrictionTracker(RestrictionTracker):
        """Follows positions that are numbers."""

        def __init__(self, offset_range: Any) -> None: ...

        def try_split(self, fraction_of_remainder: float) -> Any:
            """Give up what has not been claimed."""

else:
    from apache_beam import CombineFn, DoFn, PTransform
    from apache_beam.coders import Coder
    from apache_beam.io.iobase import RestrictionTracker
    from apache_beam.io.restriction_trackers import OffsetRestrictionTracker
    from apache_beam.transforms.core import RestrictionProvider

__all__ = [
    "Coder",
    "CombineFn",
    "DoFn",
    "OffsetRestrictionTracker",
    "PTransform",
    "RestrictionProvider",
    "RestrictionTracker",
]
