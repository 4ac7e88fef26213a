"""Registry of the columns that refer to stored contents.

An app declares them by a dotted path in ``file_references`` of its AppConfig. The path leads to a sequence of pairs: a
tenant's model, and the name of its field that holds the key of a content. The field needs an index that begins with the
tenant, because every clean-up queries it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache

from django.apps import apps
from django.utils.module_loading import import_string

from tenants.tenancy.bases import TenantModel

type FileReference = tuple[type[TenantModel], str]


class FileReferencesInvalidError(Exception):
    """Raised if ``file_references`` cannot be imported, or names a field that its model does not have."""


def file_references() -> Sequence[FileReference]:
    """Return all fields that hold keys of contents, in the order in which the apps declare them."""
    return _all()


def used_keys(keys: Collection[str]) -> set[str]:
    """Return those of the keys that a row of the current scope refers to. It runs one statement per field."""
    used: set[str] = set()
    # A key begins with its tenant, and so does the index.
    tenants = {key.split("/", 1)[0] for key in keys}
    for model, field in file_references():
        if not (asked := set(keys) - used):
            break
        rows = model.objects.filter(tenant_id__in=tenants, **{f"{field}__in": asked})
        used.update(rows.values_list(field, flat=True))
    return used


def reset() -> None:
    """Clear the cache of declared references, for tests that add one."""
    _all.cache_clear()


@cache
def _all() -> tuple[FileReference, ...]:
    return tuple(
        reference
        for config in apps.get_app_configs()
        if (path := getattr(config, "file_references", ""))
        for reference in _import(path)
    )


def _import(path: str) -> Sequence[FileReference]:
    try:
        listed: Sequence[FileReference] = import_string(path.replace(":", "."))
    except ImportError as error:
        raise FileReferencesInvalidError(f"The file references {path} cannot be imported: {error}") from error
    for model, field in listed:
        if field not in {column.name for column in model._meta.get_fields()}:
            raise FileReferencesInvalidError(f"{path} names {field!r}, which {model.__name__} does not have.")
    return listed
