"""The colours of Okabe and Ito, which people with any colour vision tell apart.

Source: https://jfly.uni-koeln.de/color/
"""

from __future__ import annotations

BLACK = "#1a1a1a"
BLUE, VERMILION = "#0072b2", "#d55e00"
GENERATIONS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#0072b2")
"""The colours of releases in their order; then the first again."""


def generation_colour(number: int) -> str:
    """The colour of the release with the position `number`, from 0."""
    return GENERATIONS[number % len(GENERATIONS)]


def shade(strength: float) -> tuple[str, str]:
    """The colours of a cell, from white to blue, and of the text on it.

    Args:
      strength: 0 to 1.
    """
    channels = [round(255 + strength * (full - 255)) for full in (0x00, 0x72, 0xB2)]
    return "#{:02x}{:02x}{:02x}".format(*channels), "#ffffff" if strength > 0.7 else BLACK
