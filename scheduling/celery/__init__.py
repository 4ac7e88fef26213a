"""Celery integration: fair tasks, messages, the tasks of workers, and beat."""
