"""Settings of processes in chaos tests: the tests', and an app with jobs whose effects can be counted."""

import os
from datetime import UTC, datetime, timedelta

from tests.chaos.variables import CLOCK_VARIABLE, OLD_BUILD_VARIABLE

if os.environ.get(CLOCK_VARIABLE):
    # Before any other code reads the time. The monotonic clock, by which processes wait, is unchanged.
    import time_machine

    _hours = float(os.environ[CLOCK_VARIABLE])
    time_machine.travel(datetime.now(UTC) + timedelta(hours=_hours), tick=True).start()

from jobsplatform.settings.test import *  # noqa: F403
from jobsplatform.settings.test import INSTALLED_APPS as PLATFORM_APPS

INSTALLED_APPS = [*PLATFORM_APPS] if os.environ.get(OLD_BUILD_VARIABLE) else [*PLATFORM_APPS, "tests.chaos.plugin"]
