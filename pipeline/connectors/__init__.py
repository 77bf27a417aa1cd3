"""Where records and artifacts come from and go to."""
