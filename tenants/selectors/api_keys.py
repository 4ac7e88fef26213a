"""Finding a key by what people know of it."""

from __future__ import annotations

from tenants.context import all_tenants
from tenants.models import ApiKey


def find_api_key(prefix: str) -> ApiKey | None:
    """The key of that prefix, whosever it is."""
    with all_tenants():
        key: ApiKey | None = ApiKey.objects.filter(prefix=prefix).first()
    return key
