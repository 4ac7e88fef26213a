"""Lists by key, where the pages of this app look for them; they are made in `tenants.admin.keyset`."""

from tenants.admin.keyset import AFTER, BEFORE, KeysetAdmin, KeysetChangeList, parse_uuid

__all__ = ["AFTER", "BEFORE", "KeysetAdmin", "KeysetChangeList", "parse_uuid"]
