"""Meta of jobs: what the submitter notes on a job, and filters find."""
