"""What-if: the last hour replayed under other terms."""
