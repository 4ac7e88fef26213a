"""Replacement of Django's command that sets a password."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `change_password USERNAME`."
    instead = "change_password USERNAME"
