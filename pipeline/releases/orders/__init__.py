"""What people ask of running jobs through the release folder: to end, or to change the release."""
