"""Statement with which backups read the stored contents of all tenants."""

from __future__ import annotations

from tenants.database.sql import load_sql

READ_CONTENTS = load_sql(__file__)["read_contents"]
