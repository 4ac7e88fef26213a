"""Celery integration: fair tasks, signed messages, the tasks that workers run, and beat."""
