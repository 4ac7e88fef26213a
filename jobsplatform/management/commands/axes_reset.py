"""Replacement of axes' command that resets all wrong passwords."""

from jobsplatform.management.replaced import ReplacedCommand


class Command(ReplacedCommand):
    help = "Replaced by `unlock_login --all`."
    instead = "unlock_login --all"
