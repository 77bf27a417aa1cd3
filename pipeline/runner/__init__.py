"""What Beam's runners need from this project."""
