"""A Celery task of a package installed by pip, run as a tenant's job by real processes."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from scheduling.models import DeadLetter, JobLog
from tenants.context import all_tenants, tenant_context
from tenants.models import Tenant
from tests.acceptance.helpers import event_names, executions_of, fetch, submit, wait_for
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.test_execution import send_raw

pytestmark = pytest.mark.slow


def greet_for(tenant: Tenant, *args: Any, **kwargs: Any) -> Any:
    return importlib.import_module("acme_word_count.tasks").greet.for_tenant(tenant).delay(*args, **kwargs)


def test_kinds_of_installed_package_run(example: ManagedProcess, acme: Tenant) -> None:
    (counted,) = submit(acme, "acme_word_count", {"texts": ["to be or", "not to be"], "commonest": 1})
    greeted = greet_for(acme, "Ann", times=2)
    retried = greet_for(acme, "Ben", mood="busy_once")
    broken = greet_for(acme, "Eve", mood="broken")

    assert wait_for(counted, "completed").result == {"words": 6, "commonest": {"to": 2}}
    done = wait_for(greeted, "completed")
    assert done.result == {"greeting": "Hello Ann. Hello Ann.", "tries": 1, "is_job": True}
    assert (done.progress_current, done.queue.name) == (2, "dataset")
    with tenant_context(acme):
        assert JobLog.objects.filter(job_id=greeted.pk, message="greeting").exists()

    # Celery's own backoff of a second, plus jitter.
    tried = wait_for(retried, "completed")
    assert tried.result == {"greeting": "Hello Ben.", "tries": 2, "is_job": True}
    assert tried.attempt == 1
    assert [execution.outcome for execution in executions_of(retried)] == ["failed", "completed"]

    dead = wait_for(broken, "discarded")
    assert (dead.error_type, dead.error_message) == ("RuntimeError", "Eve cannot be greeted")
    assert dead.attempt == 1
    with all_tenants():
        assert DeadLetter.objects.get(job_id=broken.pk).reason == "permanent_error"
    assert event_names(greeted)[0] == "job.submitted"


def test_message_of_plain_task_is_refused_by_job_worker(
    example: ManagedProcess, acme: Tenant, acceptance_broker_url: str
) -> None:
    send_raw(acceptance_broker_url, "dataset", "acme_word_count.tasks.greet", json.dumps([["Mallory"], {}, {}]))
    eventually(lambda: "not a job's message" in example.log, what="it is refused")
    wait_for(greet_for(acme, "Ann"), "completed")
    assert fetch(greet_for(acme, "Ann")).kind == "acme_greeting"
