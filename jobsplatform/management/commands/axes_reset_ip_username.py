"""Replacement of axes' command that resets the wrong passwords of a name from an address."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `unlock_login USERNAME --address ADDRESS`."
    instead = "unlock_login USERNAME --address ADDRESS"
