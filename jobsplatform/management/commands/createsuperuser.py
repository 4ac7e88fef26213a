"""Replacement of Django's command that creates an admin."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `create_platform_admin USERNAME`."
    instead = "create_platform_admin USERNAME"
