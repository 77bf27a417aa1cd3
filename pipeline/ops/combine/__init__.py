"""The steps under `combine:`: what they compute, and over a batch."""
