"""The platform's settings, and the clock."""

from jobsplatform.settings import *  # noqa: F403
from jobsplatform.settings import INSTALLED_APPS as PLATFORM_APPS

INSTALLED_APPS = [*PLATFORM_APPS, "benchmarks.clocked"]
