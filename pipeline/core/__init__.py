"""Pure values and functions: specs, columns, batches, releases, combination."""
