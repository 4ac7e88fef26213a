"""A process-local cache of tenants' decrypted data keys, kept for a minute and bounded by the number of tenants.

Cached keys stay valid, because the bytes of a data key never change. A rotation changes only which key encrypts new
values; a process may use the former one for up to a minute after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from django.apps import apps
from django.contrib.postgres.functions import TransactionNow
from django.core.exceptions import ImproperlyConfigured

from tenants.context import current_scope, tenant_context
from tenants.database.ids import uuid7
from tenants.database.platform_settings import platform_settings
from tenants.encryption.envelope import DataKey, MasterKeysInvalidError, SealBrokenError, digest_key, new_secret
from tenants.encryption.exceptions import DataKeyUnavailableError, KeyProviderUnavailableError
from tenants.encryption.master_keys import AWAY_SECONDS, MasterKeys
from tenants.exceptions import ContextElsewhereError
from tenants.translation import gettext_noop

if TYPE_CHECKING:
    from tenants.models import TenantDataKey

KEPT_SECONDS: Final = 60.0
# After this time a decrypted key is decrypted again, so that a key service can withdraw it.
UNWRAPPED_SECONDS: Final = 3_600.0
MOST_TENANTS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Fault:
    """The reason why a data key could not be decrypted; ``is_provider``: the key service did not do it."""

    reason: str
    is_provider: bool = False


@dataclass(frozen=True, slots=True)
class TenantKeys:
    """The decrypted data keys of one tenant; `faults` has the reason for each key that could not be decrypted.

    `current_id` is the key that encrypts new values, `digest_key_id` the oldest key, from which hashes are keyed.
    `unwrapped_at` has the monotonic time at which each key was decrypted.
    """

    tenant_id: UUID
    keys: Mapping[UUID, DataKey]
    faults: Mapping[UUID, Fault]
    current_id: UUID | None
    digest_key_id: UUID | None
    digest_secrets: Mapping[UUID, bytes]
    unwrapped_at: Mapping[UUID, float]

    EMPTY_REASON: ClassVar[Fault] = Fault("The key does not belong to the tenant.")

    def key(self, key_id: UUID) -> DataKey:
        """Return the key with that id; raise `DataKeyUnavailableError` with the reason if there is none."""
        if (found := self.keys.get(key_id)) is not None:
            return found
        raise self._unavailable(key_id)

    def digest_secret(self) -> bytes:
        """Return the secret that hashes are keyed with; raise `DataKeyUnavailableError` if it is not available."""
        assert self.digest_key_id is not None  # callers have created a first key before they hash
        if (found := self.digest_secrets.get(self.digest_key_id)) is not None:
            return found
        raise self._unavailable(self.digest_key_id)

    def _unavailable(self, key_id: UUID) -> DataKeyUnavailableError:
        fault = self.faults.get(key_id, self.EMPTY_REASON)
        kind = KeyProviderUnavailableError if fault.is_provider else DataKeyUnavailableError
        return kind(gettext_noop("Data key %(key)s: %(reason)s"), {"key": key_id, "reason": fault.reason})


def master_keys() -> MasterKeys:
    """Return the master keys of ENCRYPTION_MASTER_KEYS; raise `ImproperlyConfigured` if one is invalid."""
    return _read_master_keys(tuple(platform_settings.ENCRYPTION_MASTER_KEYS))


@lru_cache(maxsize=8)
def _read_master_keys(texts: tuple[str, ...]) -> MasterKeys:
    try:
        return MasterKeys(texts)
    except MasterKeysInvalidError as error:
        raise ImproperlyConfigured(str(error)) from error


def sealing_key(tenant_id: UUID) -> DataKey:
    """Return the key that encrypts the tenant's new values; create it if the tenant has none."""
    keys = _keys_with_first(tenant_id)
    assert keys.current_id is not None  # created here, or earlier by another process
    return keys.key(keys.current_id)


def opening_key(tenant_id: UUID, key_id: UUID) -> DataKey:
    """Return the tenant's key with that id, to decrypt a value; raise `DataKeyUnavailableError` if it is missing."""
    keys = _keys_of(tenant_id)
    if key_id not in keys.keys:
        # Just created by another process, or rewrapped by a master key that is available here.
        keys = _read_and_keep([tenant_id])[tenant_id]
    return keys.key(key_id)


def existing_key(tenant_id: UUID) -> DataKey | None:
    """Return the key that encrypts the tenant's new values, or None if the tenant has none; create none.

    Raise `DataKeyUnavailableError` if it cannot be decrypted here.
    """
    keys = _keys_of(tenant_id)
    return None if keys.current_id is None else keys.key(keys.current_id)


def require_keys(tenant_id: UUID) -> None:
    """Raise `DataKeyUnavailableError` if this process cannot encrypt values of the tenant."""
    existing_key(tenant_id)


def digest_secret(tenant_id: UUID) -> bytes:
    """Return the secret of the tenant's hashes, creating the tenant's first key."""
    return _keys_with_first(tenant_id).digest_secret()


def preload_keys(tenant_ids: Iterable[UUID]) -> None:
    """Load the keys of many tenants into the cache with one statement. Call it in a scope that sees those tenants."""
    missing = [tenant_id for tenant_id in set(tenant_ids) if _kept(tenant_id) is None]
    if missing:
        _read_and_keep(missing)


def forget_keys() -> None:
    """Clear the cache, so that the next use reads the keys from the database."""
    with _guard:
        _cache.clear()


_cache: dict[UUID, tuple[float, TenantKeys]] = {}
_guard = threading.Lock()


def _keys_of(tenant_id: UUID) -> TenantKeys:
    kept = _kept(tenant_id)
    return _read_and_keep([tenant_id])[tenant_id] if kept is None else kept


def _keys_with_first(tenant_id: UUID) -> TenantKeys:
    keys = _keys_of(tenant_id)
    if keys.current_id is not None:
        return keys
    with _scope_of(tenant_id):
        _make_first(tenant_id)
    return _read_and_keep([tenant_id])[tenant_id]


def _kept(tenant_id: UUID) -> TenantKeys | None:
    kept = _cache.get(tenant_id)
    return None if kept is None or kept[0] <= time.monotonic() else kept[1]


def _read_and_keep(tenant_ids: list[UUID]) -> dict[UUID, TenantKeys]:
    until = time.monotonic() + KEPT_SECONDS
    with _scope_of(tenant_ids[0]):
        # A key created in this transaction may be rolled back, so it is used but not cached.
        rows = list(
            _rows()
            .objects.filter(tenant_id__in=tenant_ids)
            .order_by("pk")
            .values_list("tenant_id", "pk", "wrapped", "master_key_id", "retired_at", "created_at", TransactionNow())
        )
    found: dict[UUID, list[Any]] = {tenant_id: [] for tenant_id in tenant_ids}
    for row in rows:
        found[row[0]].append(row)
    read = {tenant_id: _unwrap(tenant_id, own) for tenant_id, own in found.items()}
    with _guard:
        for tenant_id, keys in read.items():
            is_away = any(fault.is_provider for fault in keys.faults.values())
            _cache.pop(tenant_id, None)
            if all(created != now for *_, created, now in found[tenant_id]):
                # A key service is asked again soon, but not at each use of the other keys.
                _cache[tenant_id] = (time.monotonic() + AWAY_SECONDS if is_away else until, keys)
        while len(_cache) > MOST_TENANTS:
            del _cache[next(iter(_cache))]
    return read


def _unwrap(tenant_id: UUID, rows: list[Any]) -> TenantKeys:
    kept, now = _cache.get(tenant_id), time.monotonic()
    known = kept[1] if kept is not None else None
    keys: dict[UUID, DataKey] = {}
    faults: dict[UUID, Fault] = {}
    digests: dict[UUID, bytes] = {}
    times: dict[UUID, float] = {}
    oldest = rows[0][1] if rows else None
    current = None
    for _, key_id, wrapped, master_id, retired_at, _created, _now in rows:
        if retired_at is None:
            current = key_id
        known_at = known.unwrapped_at.get(key_id) if known is not None else None
        found: bytes | Fault | None = None
        if known_at is None or known_at + UNWRAPPED_SECONDS <= now:
            found = _unwrap_one(bytes(wrapped), master_id, tenant_id, key_id, is_known=known_at is not None)
        if isinstance(found, Fault):
            faults[key_id] = found
        elif found is not None:
            keys[key_id], times[key_id] = DataKey.of(key_id, found), now
            digests |= {key_id: digest_key(found)} if key_id == oldest else {}
        elif known is not None and known_at is not None:
            keys[key_id], times[key_id] = known.keys[key_id], known_at
            digests |= {key_id: known.digest_secrets[key_id]} if key_id in known.digest_secrets else {}
    return TenantKeys(tenant_id, keys, faults, current, oldest, digests, times)


def _unwrap_one(
    wrapped: bytes, master_id: str, tenant_id: UUID, key_id: UUID, *, is_known: bool
) -> bytes | Fault | None:
    """Return the decrypted key, or the fault; None if the bytes that this process knows are to be used further."""
    try:
        return master_keys().unwrap(wrapped, master_id=master_id, tenant_id=tenant_id, key_id=key_id)
    except KeyError:
        # Rewrapped by a master key that this process does not have yet: the bytes are the same.
        return None if is_known else Fault(f"ENCRYPTION_MASTER_KEYS lacks the master key {master_id}.")
    except SealBrokenError:
        return Fault("The stored key was altered.")
    except KeyProviderUnavailableError as error:
        return None if is_known and not error.is_refused else Fault(str(error), is_provider=True)


def _make_first(tenant_id: UUID) -> None:
    """Create the tenant's first key. Of two concurrent callers the second waits for the first and creates none."""
    _rows().objects.bulk_create([new_data_key(tenant_id)], ignore_conflicts=True)


def new_data_key(tenant_id: UUID) -> TenantDataKey:
    """Return a new data key of a tenant, encrypted by the current master key, as an unsaved instance."""
    masters, key_id = master_keys(), uuid7()
    wrapped = masters.wrap(new_secret(), tenant_id=tenant_id, key_id=key_id)
    return _rows()(id=key_id, tenant_id=tenant_id, wrapped=wrapped, master_key_id=masters.current_id)


def _rows() -> type[TenantDataKey]:
    """Return the model of keys, by its name because models with sealed columns import this module."""
    model: type[TenantDataKey] = apps.get_model("tenants", "TenantDataKey")
    return model


@contextmanager
def _scope_of(tenant_id: UUID) -> Iterator[None]:
    """Enter the current scope if it sees the tenant's rows, else the tenant's own."""
    try:
        scope = current_scope()
    except ContextElsewhereError:
        scope = None
    if scope is not None and (scope.is_all_tenants or scope.tenant_id == tenant_id):
        yield
        return
    with tenant_context(tenant_id):
        yield
