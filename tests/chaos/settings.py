"""The settings of processes under chaos: the tests', and an app whose jobs leave traces that a checker can count."""

import os
from datetime import UTC, datetime, timedelta

from tests.chaos.variables import CLOCK_VARIABLE, OLD_BUILD_VARIABLE

if os.environ.get(CLOCK_VARIABLE):
    # Before anything else reads the time. The steady clock, by which processes wait, stays as it is.
    import time_machine

    _hours = float(os.environ[CLOCK_VARIABLE])
    time_machine.travel(datetime.now(UTC) + timedelta(hours=_hours), tick=True).start()

from jobsplatform.settings.test import *  # noqa: F403
from jobsplatform.settings.test import INSTALLED_APPS as PLATFORM_APPS

INSTALLED_APPS = [*PLATFORM_APPS] if os.environ.get(OLD_BUILD_VARIABLE) else [*PLATFORM_APPS, "tests.chaos.plugin"]
