"""What a call of one model costs: merged with others, in another process, with bad rows."""
