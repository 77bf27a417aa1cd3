"""Ensembles of models of several frameworks on Apache Beam, refreshed while they run."""

import os

# The threads of OpenMP (PyTorch, scikit-learn) and OpenBLAS (numpy) would spin on between two
# calls, on the cores that the other models of the ensemble need: more than half of the throughput
# of small models on two cores. Both are read when a library is loaded, so this stands before any;
# worker processes inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # 2 to the power of that many cycles
