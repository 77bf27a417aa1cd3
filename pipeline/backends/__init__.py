"""One module for each framework: loads its artifacts, runs them, names their tensors."""

from pipeline.backends import import_order

import_order.keep_import_order()
