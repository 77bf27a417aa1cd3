"""One module for each framework: loads its artifacts, runs them, names their tensors."""
