"""Master keys in key services: AWS KMS as moto's server has it, Vault as a stand-in of its HTTP contract has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from rest_framework.test import APIClient

from scheduling.dispatch.tick import run_tick
from scheduling.execution import policy
from scheduling.execution.settlement import settle
from scheduling.fleet.workers import Registration
from scheduling.jobs.lifecycle import JobState
from scheduling.jobs.requests import JobRequest
from scheduling.jobs.submission import submit_job
from scheduling.models import Job, WorkerPool
from tenants.checks import check_master_keys
from tenants.context import all_tenants
from tenants.database.ids import uuid7
from tenants.encryption import aws_kms, data_keys, master_keys
from tenants.encryption.data_keys import forget_keys, opening_key, sealing_key
from tenants.encryption.envelope import SealBrokenError, new_secret
from tenants.encryption.exceptions import DataKeyUnavailableError, KeyProviderUnavailableError, KeyRefusedError
from tenants.encryption.master_keys import MasterKeys
from tenants.encryption.service import replace_keys, rewrap_keys
from tenants.models import Tenant, TenantDataKey
from tests.aws_server import used_aws_server
from tests.integration.scheduling.conftest import no_lock_timeout, pool, start, worker  # noqa: F401 - fixtures of it too
from tests.integration.scheduling.job_helpers import Start, begin, reload, submit
from tests.integration.tenants.encryption.test_encryption import master
from tests.platform_settings import ChangePlatformSettings
from tests.vault_stand_in import TOKEN, VaultStandIn, vault_stand_in

NAMES = {"tenant_id": uuid7(), "key_id": uuid7()}


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    def clear() -> None:
        forget_keys()
        aws_kms._client.cache_clear()
        data_keys._read_master_keys.cache_clear()

    clear()
    yield
    clear()


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the text of a master key in moto's KMS."""
    with used_aws_server(monkeypatch):
        yield "aws_kms:" + boto3.client("kms", region_name="eu-central-1").create_key()["KeyMetadata"]["Arn"]


@pytest.fixture
def vault(tmp_path: Path, change_platform_settings: ChangePlatformSettings) -> Iterator[VaultStandIn]:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    change_platform_settings(ENCRYPTION_VAULT_TOKEN_FILE=str(token))
    with vault_stand_in() as server:
        yield server


@pytest.fixture(params=["file", "kms", "vault"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the text of a master key of each provider."""
    if request.param == "file":
        (tmp_path / "key").write_text(master("f") + "\n")
        return f"file:{tmp_path}/key"
    found = request.getfixturevalue(request.param)
    return found.master_key if isinstance(found, VaultStandIn) else str(found)


def test_key_of_each_provider_wraps_for_one_place_only(remote: str) -> None:
    keys, secret = MasterKeys([remote]), new_secret()
    wrapped = keys.wrap(secret, **NAMES)
    assert secret not in wrapped
    assert MasterKeys([master("a"), remote]).unwrap(wrapped, master_id=keys.current_id, **NAMES) == secret
    with pytest.raises(SealBrokenError):
        keys.unwrap(wrapped, master_id=keys.current_id, tenant_id=NAMES["tenant_id"], key_id=uuid7())
    with pytest.raises(SealBrokenError):
        keys.unwrap(wrapped[:-6] + b"AAAAAA", master_id=keys.current_id, **NAMES)


def test_values_move_from_a_local_key_to_each_provider(
    remote: str, acme: Tenant, change_platform_settings: ChangePlatformSettings
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[master("a")])
    (job,) = submit(acme, payload={"a": 1})
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[remote, master("a")])
    assert rewrap_keys().changed
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[remote])
    forget_keys()
    assert reload(job).payload == {"a": 1}
    replace_keys()
    assert submit(acme, payload={"a": 2})[0].payload == {"a": 2}


@pytest.mark.django_db(transaction=True)
def test_data_key_is_unwrapped_once_and_again_after_its_time(
    vault: VaultStandIn, acme: Tenant, change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[vault.master_key])
    monkeypatch.setattr(data_keys, "KEPT_SECONDS", 0.0)
    key = sealing_key(acme.pk)
    forget_keys()
    before = vault.requests
    for _ in range(5):
        assert opening_key(acme.pk, key.id).id == key.id
    assert vault.requests == before + 1
    monkeypatch.setattr(data_keys, "KEPT_SECONDS", 0.0)
    for _ in range(3):
        opening_key(acme.pk, key.id)
    assert vault.requests == before + 1
    monkeypatch.setattr(data_keys, "UNWRAPPED_SECONDS", 0.0)
    opening_key(acme.pk, key.id)
    assert vault.requests == before + 2


@pytest.mark.django_db(transaction=True)
def test_known_key_outlives_an_outage_but_not_a_refusal(
    vault: VaultStandIn, acme: Tenant, change_platform_settings: ChangePlatformSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[vault.master_key])
    monkeypatch.setattr(data_keys, "KEPT_SECONDS", 0.0)
    monkeypatch.setattr(data_keys, "UNWRAPPED_SECONDS", 0.0)
    for module in (data_keys, master_keys):
        monkeypatch.setattr(module, "AWAY_SECONDS", 0.0)
    key = sealing_key(acme.pk)
    vault.status = 503
    assert opening_key(acme.pk, key.id).id == key.id
    vault.status = 403
    with pytest.raises(KeyProviderUnavailableError, match="403"):
        sealing_key(acme.pk)
    vault.status = 200
    assert sealing_key(acme.pk).id == key.id


def test_calls_fail_at_once_after_one_without_an_answer(vault: VaultStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = MasterKeys([vault.master_key])
    vault.status = 500
    for _ in range(3):
        with pytest.raises(KeyProviderUnavailableError):
            keys.wrap(new_secret(), **NAMES)
    assert vault.requests == 1
    monkeypatch.setattr(master_keys.time, "monotonic", lambda: 1e12)
    vault.status = 200
    assert keys.wrap(new_secret(), **NAMES)


def test_answer_of_vault_is_bounded(vault: VaultStandIn) -> None:
    vault.extra_bytes = 100_000
    with pytest.raises(KeyProviderUnavailableError, match="did not answer"):
        MasterKeys([vault.master_key]).wrap(new_secret(), **NAMES)


def test_deleted_key_of_kms_is_refused(kms: str) -> None:
    keys = MasterKeys([f"{kms[:-4]}0000"])
    with pytest.raises(KeyRefusedError, match="NotFoundException"):
        keys.wrap(new_secret(), **NAMES)


def test_kms_without_a_server_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "of-the-test")
    with pytest.raises(KeyProviderUnavailableError, match="EndpointConnectionError"):
        MasterKeys(["aws_kms:arn:aws:kms:eu-central-1:1:key/a"]).wrap(new_secret(), **NAMES)


@pytest.mark.parametrize("text", ["nothing:x", "aws_kms:", "vault:x", "vault:https://x/transit/jobs", "file:/nowhere"])
def test_text_that_names_no_key_prevents_the_start(text: str, change_platform_settings: ChangePlatformSettings) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[text])
    assert [found.id for found in check_master_keys()] == ["tenants.E006"]


@pytest.mark.django_db(transaction=True)
def test_request_without_the_key_service_is_unavailable(
    vault: VaultStandIn,
    acme: Tenant,
    api_client: Callable[[Tenant], APIClient],
    change_platform_settings: ChangePlatformSettings,
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[vault.master_key])
    (job,) = submit(acme, payload={"a": 1})
    forget_keys()
    vault.status = 503
    api = api_client(acme)
    assert api.get(f"/api/v1/jobs/{job.pk}/").status_code == 200
    answer = api.post("/api/v1/jobs/", {"kind": "noop", "payload": {"a": 2}}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (503, "key_provider_unavailable")
    with all_tenants():
        assert Job.objects.count() == 1
        assert TenantDataKey.objects.filter(tenant=acme).count() == 1


def test_job_without_the_key_service_waits_and_runs_later(
    vault: VaultStandIn,
    acme: Tenant,
    pool: WorkerPool,  # noqa: F811
    worker: Registration,  # noqa: F811
    start: Start,  # noqa: F811
    change_platform_settings: ChangePlatformSettings,
    no_lock_timeout: None,  # noqa: F811
) -> None:
    change_platform_settings(ENCRYPTION_MASTER_KEYS=[vault.master_key])
    job = submit_job(tenant=acme, request=JobRequest("noop", {"a": 1})).job
    run_tick(pool.pk)
    forget_keys()
    vault.status = 503
    started = begin(start, job)
    assert type(started.unreadable) is KeyProviderUnavailableError
    settle([policy.unreadable_of(started, started.unreadable)])
    waiting = reload(job)
    assert (waiting.state, waiting.attempt, waiting.crash_count) == (JobState.SCHEDULED, 0, 0)
    with pytest.raises(DataKeyUnavailableError):
        _ = waiting.payload
    vault.status = 200
    data_keys._read_master_keys.cache_clear()
    assert reload(job).payload == {"a": 1}
