"""The parts of stream.py, which shows models being refreshed under a stream."""
