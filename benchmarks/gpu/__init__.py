"""Large networks on a GPU."""
