"""What is counted while a job runs, in parts that add up."""
