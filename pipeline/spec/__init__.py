"""What the user writes: the ensemble file, the graph of its steps, what a URI is."""
