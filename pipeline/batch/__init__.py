"""What travels through a job: blocks of records, batches of columns, releases, and their bytes."""
