"""Celery: fair tasks, messages, tasks of workers and beat."""
