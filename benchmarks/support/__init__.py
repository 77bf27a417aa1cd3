"""What several benchmarks use: options, processes, tables, pictures, small models."""
