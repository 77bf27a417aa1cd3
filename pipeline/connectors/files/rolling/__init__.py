"""Lines into files that appear whole, one every few seconds."""
