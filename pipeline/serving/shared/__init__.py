"""A model in a process of its own, which the other processes of the machine share."""
