"""The same ensemble out of Beam's own parts."""
