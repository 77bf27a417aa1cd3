"""A folder that is read for as long as the job runs."""
