"""The workload of rows of a table: numbers and categories, two models, one probability."""
