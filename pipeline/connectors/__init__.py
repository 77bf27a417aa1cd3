"""Where records and artifacts come from and go to."""

from pipeline.runner.lean_imports import import_beam

import_beam()
