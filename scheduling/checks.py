"""Start-up checks of the scheduling app."""
