"""Transformers over texts of many lengths, compared with what the libraries' own calls take."""
