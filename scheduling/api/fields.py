"""The fields of every app's API stand with the other bases; this name of theirs goes on."""

from __future__ import annotations

from tenants.api.fields import MomentField, NameField, StrictSerializer, WholeNumberField, format_moment

__all__ = ["MomentField", "NameField", "StrictSerializer", "WholeNumberField", "format_moment"]
