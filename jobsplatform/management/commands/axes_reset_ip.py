"""Replacement of django-axes' command that resets the failed log-ins from an address."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `unlock_login --address ADDRESS`."
    instead = "unlock_login --address ADDRESS"
