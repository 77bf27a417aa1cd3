"""Entries of `models`: what all frameworks share, and those with many keys of their own."""
