"""Replacement of django-axes' command that resets the failed log-ins with a user name from an address."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `unlock_login USERNAME --address ADDRESS`."
    instead = "unlock_login USERNAME --address ADDRESS"
