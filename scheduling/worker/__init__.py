"""The worker: a Celery pool whose parent watches over the jobs that its children run."""
