"""The digits example on Dataflow: a batch job and a stream, launched, proven and removed."""
