"""The size of property tests: whole by default, a tenth with the profile `quick` (`make unit`)."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

FULL_EXAMPLES = 100


def register_profiles() -> None:
    """Register the profiles `full` and `quick`, and load `full`; `pytest --hypothesis-profile` chooses another."""
    # The duration of examples depends on the load of the machine, not on the code.
    settings.register_profile(
        "full", max_examples=FULL_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.register_profile("quick", settings.get_profile("full"), max_examples=FULL_EXAMPLES // 10)
    settings.load_profile("full")


def scaled(count: int) -> int:
    """Return `count`, reduced as the loaded profile reduces the usual number of examples."""
    profile = settings.get_profile(settings.get_current_profile_name())
    return max(1, count * profile.max_examples // FULL_EXAMPLES)
