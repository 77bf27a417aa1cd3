"""Ensembles of models of several frameworks on Apache Beam, refreshed while they run."""
