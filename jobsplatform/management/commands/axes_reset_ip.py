"""Replacement of axes' command that resets the wrong passwords from an address."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `unlock_login --address ADDRESS`."
    instead = "unlock_login --address ADDRESS"
