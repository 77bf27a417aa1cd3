"""Classes that the user wrote."""
