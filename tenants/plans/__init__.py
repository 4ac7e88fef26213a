"""Plans and tiers. A tenant's plan sets its weight and limits."""
