"""Where jobs run: one module an engine."""
