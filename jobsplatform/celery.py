"""The Celery application. `celery -A jobsplatform.celery …` works, `manage.py run_worker` is the usual way."""

import os

import django
from celery import Celery
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")

# No fix-ups: Celery's Django fix-up closes the database connection before and after each task (6 ms to
# reconnect). The worker runtime keeps one checked connection a child instead.
app = Celery("jobsplatform", fixups=[], include=["scheduling.tasks"])
app.config_from_object("django.conf:settings", namespace="CELERY")
# Web servers publish from other threads too, and `current_app` is thread-local.
app.set_default()

# Without the fix-up nobody else sets Django up when Celery's own command line imports this module.
if not apps.loading:
    django.setup()
