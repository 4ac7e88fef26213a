"""Django's way to make an admin."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `create_platform_admin USERNAME`."
    instead = "create_platform_admin USERNAME"
