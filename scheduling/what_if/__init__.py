"""What-if: a replay of the last hour under changed terms."""
