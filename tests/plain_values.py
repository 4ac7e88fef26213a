"""Mark of tests that need values in plain, for the run of the suite with a master key."""

from __future__ import annotations

import pytest

from tenants.encryption.fields import is_sealing

plain_only = pytest.mark.skipif(
    is_sealing(), reason="It compares stored values, searches in them, or counts statements without those of keys."
)
