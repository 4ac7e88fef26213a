"""The worker: a Celery pool whose parent supervises the jobs of its children."""
