"""Attacks by foreign Celery processes, and by tasks in beat's schedules."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock, patch

from celery.signals import celeryd_init
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_celery_beat.models import CrontabSchedule

from jobsplatform.celery import app
from scheduling.celery import external_processes
from scheduling.celery.tasks import SUBMIT_TASK
from scheduling.conf import RUN_UPKEEP_TASK
from scheduling.diagnosis.service import diagnose
from scheduling.models import Job
from tenants.context import all_tenants
from tests.security.messages import published, receive_as_foreign
from tests.security.table import Attack
from tests.security.world import World

WORK: dict[str, Any] = {"tenant": "zeta", "kind": "noop"}


def _jobs() -> str:
    with all_tenants():
        return f"{Job.objects.count()} jobs"


def _plain_worker(queues: list[str] | None) -> str:
    try:
        celeryd_init.send(sender="here", instance=Mock(app=app), conf=app.conf, options={"queues": queues})
    except SystemExit as refusal:
        return next(line for line in str(refusal).splitlines() if "manage.py" in line)
    return "started"


def plain_worker(world: World) -> str:
    return _plain_worker(None)


def plain_worker_of_jobs(world: World) -> str:
    return _plain_worker(["of_others", "tasks_team"])


def plain_worker_of_other_queues(world: World) -> str:
    return _plain_worker(["of_others"])


def foreign_process(world: World) -> str:
    # Its connection is the attack's own.
    with patch.object(external_processes, "connection"):
        seconds, is_back = receive_as_foreign(published(SUBMIT_TASK, [], WORK))
    check = next(check for check in diagnose().checks if check.name == "foreign consumers")
    return f"{'requeued' if is_back else 'lost'} after {seconds:g} s, {_jobs()}, {check.state}"


def _saved_in_beat(**values: str) -> str:
    client = Client()
    client.force_login(User.objects.create_superuser("stella", password="a password of the world"))
    form = {
        "name": "of the attack",
        "enabled": "on",
        "crontab": str(CrontabSchedule.objects.create(minute="0").pk),
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
        **values,
    }
    answer = client.post(reverse("admin:django_celery_beat_periodictask_add"), form)
    if answer.status_code == 302:
        return "saved"
    errors = answer.context["adminform"].form.errors
    return ", ".join(f"{field}: {' '.join(texts)}" for field, texts in errors.items())


def refused_task_in_beat(world: World) -> str:
    return _saved_in_beat(task="celery.chain")[:36]


def unknown_task_in_beat(world: World) -> str:
    return _saved_in_beat(task="os.system")


def execution_in_beat(world: World) -> str:
    return _saved_in_beat(task="scheduling.execute")


def unknown_queue_in_beat(world: World) -> str:
    return _saved_in_beat(task=RUN_UPKEEP_TASK, args='["partitions"]', queue="nowhere")[:32]


def unknown_upkeep_in_beat(world: World) -> str:
    return _saved_in_beat(task=RUN_UPKEEP_TASK, args='["everything"]').partition(",")[0]


ATTACKS: tuple[Attack, ...] = (
    Attack(
        "plain worker",
        "celery -A jobsplatform worker",
        "maintenance: manage.py run_worker --pool maintenance",
        plain_worker,
    ),
    Attack(
        "plain worker of jobs",
        "celery -A jobsplatform worker -Q of_others,tasks_team",
        "tasks_team: manage.py run_worker --pool default",
        plain_worker_of_jobs,
    ),
    Attack(
        "plain worker of other queues",
        "celery -A jobsplatform worker -Q of_others",
        "started",
        plain_worker_of_other_queues,
    ),
    Attack(
        "message in a foreign process",
        "scheduling.submit to a Celery process that is no worker of the platform",
        "requeued after 1 s, 0 jobs, failure",
        foreign_process,
    ),
    Attack(
        "task that workers refuse, in beat",
        "a periodic task celery.chain",
        "task: Workers refuse celery.chain: they"[:36],
        refused_task_in_beat,
    ),
    Attack(
        "unknown task in beat",
        "a periodic task os.system",
        "task: No worker has a task named os.system. Choose one of the registered tasks.",
        unknown_task_in_beat,
    ),
    Attack(
        "execution in beat",
        "a periodic task scheduling.execute",
        "task: Only the platform sends scheduling.execute. To run a job, choose its tenant and kind.",
        execution_in_beat,
    ),
    Attack(
        "unknown queue in beat",
        "a periodic task for a queue that no worker reads",
        "queue: There is no queue nowhere",
        unknown_queue_in_beat,
    ),
    Attack(
        "unknown upkeep in beat",
        "a periodic task scheduling.run_upkeep of no upkeep task",
        "args: The arguments must name one upkeep task",
        unknown_upkeep_in_beat,
    ),
)
