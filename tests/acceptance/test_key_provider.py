"""Workers whose master key is in a key service: they use it, and survive its absence."""

from __future__ import annotations

from pathlib import Path

from scheduling.models import JobEvent
from tenants.context import all_tenants
from tenants.encryption.data_keys import forget_keys
from tenants.models import Tenant
from tests.acceptance.conftest import START_SECONDS, Platform
from tests.acceptance.helpers import fetch, submit, wait_for
from tests.acceptance.processes import ManagedProcess, eventually
from tests.acceptance.serving import is_ready
from tests.platform_settings import override_platform_settings
from tests.vault_stand_in import TOKEN, vault_stand_in


def causes(job_id: object) -> list[str]:
    """Return why a job was put off."""
    with all_tenants():
        events = JobEvent.objects.filter(job_id=job_id, name="execution.put_off")
        return [event.data["cause"] for event in events]


def test_jobs_survive_the_absence_of_the_key_service(platform: Platform, acme: Tenant, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o644)

    def worker() -> ManagedProcess:
        started = platform.begin_worker(concurrency=1, **{name: ",".join(value) for name, value in keys.items()})
        eventually(lambda: is_ready(started), within=START_SECONDS, what="the worker is ready")
        return started

    # It lacks the key.
    assert platform.worker is not None
    platform.worker.stop()
    with vault_stand_in() as vault:
        keys = {"ENCRYPTION_MASTER_KEYS": [vault.master_key], "ENCRYPTION_VAULT_TOKEN_FILE": [str(token)]}
        changes = {"ENCRYPTION_MASTER_KEYS": [vault.master_key], "ENCRYPTION_VAULT_TOKEN_FILE": str(token)}
        with override_platform_settings(**changes):
            forget_keys()
            first = worker()
            (job,) = submit(acme, "noop", {"text": "one"})
            assert wait_for(job, "completed").payload == {"text": "one"}
            vault.status = 503
            # The child of the worker has the key in memory.
            (job,) = submit(acme, "noop", {"text": "two"})
            wait_for(job, "completed")
            first.kill()
            worker()
            (job,) = submit(acme, "noop", {"text": "three"})
            eventually(lambda: causes(job.pk) == ["data_key_missing"], what="the job waits for its key")
            waiting = fetch(job)
            assert (waiting.attempt, waiting.payload) == (0, {"text": "three"})
            vault.status = 200
            forget_keys()
            assert fetch(job).payload == {"text": "three"}
