"""Where the time of a batch job goes, stage by stage."""
