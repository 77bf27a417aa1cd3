"""One model over one batch: calls of the right size, with the bad rows set aside."""
