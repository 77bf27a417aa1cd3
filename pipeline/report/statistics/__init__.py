"""The statistics of a running job, in parts that add up."""
