"""Celery application.

`celery -A jobsplatform beat` starts beat. Workers are started by `manage.py run_worker --pool POOL`: a plain `celery -A
jobsplatform worker` exits with status 1 if it would read a queue of the platform.
"""

import os
from typing import Any

import django
from celery import Celery
from celery.signals import celeryd_init, worker_process_init
from django.apps import apps

from jobsplatform.log_output import print_without_blocking

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobsplatform.settings")

# No fix-ups: Celery's Django fix-up closes the database connection before and after each task (6 ms to reconnect). The
# worker runtime keeps one checked connection in each child instead.
app = Celery("jobsplatform", fixups=[], include=["scheduling.celery.tasks"])
app.config_from_object("django.conf:settings", namespace="CELERY")
# Web servers publish from other threads too, and `current_app` is thread-local.
app.set_default()

# Without the fix-up Django is not yet set up when Celery's own command line imports this module.
if not apps.loading:
    django.setup()


@celeryd_init.connect(dispatch_uid="jobsplatform.celery.refuse_plain_worker")
def _refuse_plain_worker(instance: Any = None, options: dict[str, Any] | None = None, **_: Any) -> None:
    # Models are loaded when a worker starts, and not yet when this module is imported.
    from scheduling.celery.external_processes import refuse_external_worker

    if instance.app is app:
        refuse_external_worker(options or {})


@worker_process_init.connect(dispatch_uid="jobsplatform.celery.print_without_blocking")
def _print_without_blocking(**_: Any) -> None:
    """Make the standard output of jobs non-blocking in a child process of a worker."""
    print_without_blocking()
