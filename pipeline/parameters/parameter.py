"""The template parameter, and the patterns of its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ParameterKind = Literal["text", "integer", "number", "boolean", "choice"]

# POSIX extended regular expressions, without \\d and look-ahead: the service checks with those.
BUCKET = "gs://[a-z0-9][a-z0-9._-]*"
FILE = f"^{BUCKET}/.+$"
FOLDER = f"^{BUCKET}(/.*)?$"
MODEL_URI = f"({BUCKET}(/[^,]*)?|https?://[^,]+)"
TOPIC = "^projects/[^/]+/topics/[^/]+$"
SUBSCRIPTION = "^projects/[^/]+/subscriptions/[^/]+$"
TABLE = "^[a-z][a-z0-9.:-]*[:.][A-Za-z0-9_]+[.][^.:]+$"


@dataclass(frozen=True)
class Parameter:
    """One template parameter.

    Attributes:
      name: its name on the command line, without dashes.
      label: two to five words.
      help: what it does, for a user who has not seen the source.
      kind: the type as which its text is read.
      default: the text that stands for an absent or empty one; None for no value.
      required: whether a launch without it is an error, whatever else is given.
      choices: the values a "choice" may have.
      minimum: the least value of an "integer" or a "number".
      maximum: the greatest value of a "number".
      group: the heading under which the console shows it.
      param_type: the template API's type of a "text"; the other kinds have one each.
      regex: the pattern of a "text" on the service, where nothing local exists.
      parent: the parameter on which it depends, and the values of that one for which it is shown.
      local: whether it matters to local runs only; the console then does not show it.
      is_list: whether a "text" is several paths or URIs, separated by commas.
      to_beam: whether it is an option of Beam, checked here and passed on under the same name.
    """

    name: str
    label: str
    help: str
    kind: ParameterKind = "text"
    default: str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 0
    group: str = ""
    param_type: str = "TEXT"
    regex: str = ""
    parent: tuple[str, tuple[str, ...]] | None = None
    local: bool = False
    is_list: bool = False
    to_beam: bool = False
