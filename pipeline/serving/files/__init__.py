"""The files of model versions on this machine: fetched, copied, kept, removed."""
