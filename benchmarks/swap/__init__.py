"""How long a stream pauses while models are exchanged."""
