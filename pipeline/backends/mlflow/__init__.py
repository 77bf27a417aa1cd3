"""Folders of models as MLflow writes them, read without MLflow."""
