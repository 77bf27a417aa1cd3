"""Beam's scikit-learn handler, imported without pandas.

Its module imports pandas for the handler over data frames, which is not used here. pandas is not
installed, because Beam then loads it in every process, those of the other contenders included.
"""

import sys
import types

_stand_in = types.ModuleType("pandas")
_stand_in.DataFrame = object  # type: ignore[attr-defined]  # annotations name it
_missing = sys.modules.setdefault("pandas", _stand_in) is _stand_in

from apache_beam.ml.inference.sklearn_inference import SklearnModelHandlerNumpy  # noqa: E402

if _missing:  # others ask whether pandas is loaded
    del sys.modules["pandas"]

__all__ = ["SklearnModelHandlerNumpy"]
