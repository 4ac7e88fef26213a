"""Foreign Celery application in whose processes the platform's tasks are registered."""

import os

import django
from celery import Celery

django.setup()
app = Celery("shop", broker=os.environ["REDIS_URL"], fixups=[], include=["scheduling.celery.tasks"])
app.conf.update(accept_content=["json"], worker_enable_remote_control=False)
