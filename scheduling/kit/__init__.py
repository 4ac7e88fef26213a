"""The kit of job kinds: all that a workload imports to run as jobs."""
