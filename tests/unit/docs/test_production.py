"""The documented proxy routes existing addresses to the streams."""

from __future__ import annotations

import re

from jobsplatform.settings.env import BASE_DIR
from tests.access import table

LOCATION = re.compile(r"^ *location ~ (\S+) \{\n +proxy_pass http://127.0.0.1:8001;", re.MULTILINE)
LEAVES = re.compile(r"\(([\w|]+)\)|/(\w+)/$")


def test_documented_proxy_names_existing_routes_only() -> None:
    paths = ["/api/v1/" + line.split()[1] for line in table.API.splitlines() if line.startswith("GET")]
    [location] = LOCATION.findall((BASE_DIR / "docs" / "how-to" / "production.md").read_text())
    [words] = [either or last for either, last in LEAVES.findall(location)]
    for word in words.split("|"):
        one = re.sub(r"\([\w|]+\)", word, location)
        assert any(re.match(one, path) for path in paths), word
