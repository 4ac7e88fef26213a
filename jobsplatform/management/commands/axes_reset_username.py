"""Replacement of django-axes' command that resets the failed log-ins with a user name."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `unlock_login USERNAME`."
    instead = "unlock_login USERNAME"
