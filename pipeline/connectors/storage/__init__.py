"""Files in a folder or a bucket: paths, listings, artifacts."""
