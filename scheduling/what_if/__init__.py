"""What-if: replays the last hour of a pool with changed settings to predict their effect."""
