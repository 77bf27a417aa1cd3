"""A batch job beside a bare loop, stock RunInference, Ray Data and Spark."""
