"""Payload edits as JSON merge patches, RFC 7396."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scheduling.jobs.requests import check_depth


def patched_payload(payload: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of ``payload`` with ``patch`` applied.

    Members of the patch replace those of the payload; a null removes the member. Objects are merged member by member,
    everything else is replaced. Raise PayloadInvalidError for a patch that is nested deeper than a payload may be.
    """
    check_depth(patch)
    return _merge(payload, patch)


def _merge(value: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(value) if isinstance(value, Mapping) else {}
    for name, wanted in patch.items():
        if wanted is None:
            merged.pop(name, None)
        elif isinstance(wanted, Mapping):
            merged[name] = _merge(merged.get(name), wanted)
        else:
            merged[name] = wanted
    return merged
