"""Pipelines of Hugging Face transformers."""
