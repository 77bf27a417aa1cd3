"""Ray Data and Spark, in an environment of their own."""
