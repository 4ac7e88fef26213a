"""Other job queues on the same servers and machine, each run as its own documentation says."""
