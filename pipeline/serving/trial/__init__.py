"""A release tried in a process of its own, before a process that serves loads anything of it."""
