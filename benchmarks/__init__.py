"""What is measured, one folder a subject; each starts by `python -m benchmarks.NAME`."""
