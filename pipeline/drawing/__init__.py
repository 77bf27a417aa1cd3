"""The graph of an ensemble as text and as a picture."""
