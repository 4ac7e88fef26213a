"""The kit for job kinds: everything that a workload imports so that its work runs as jobs."""
