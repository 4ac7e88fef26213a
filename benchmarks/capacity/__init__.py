"""What the platform needs while it works: waits near capacity, submissions, processor time and memory per job."""
