"""Everything that is checked before a job starts."""

from pipeline.runner.lean_imports import import_beam

import_beam()
