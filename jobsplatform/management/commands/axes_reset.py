"""Replacement of django-axes' command that resets all failed log-ins."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `unlock_login --all`."
    instead = "unlock_login --all"
