"""The workload of records with 64 numbers: three small models, ten probabilities."""
