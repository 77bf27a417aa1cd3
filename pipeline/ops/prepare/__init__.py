"""The steps under `prepare:`: what they compute, value by value and over a batch."""
