"""Plans and tiers: weights and limits of tenants."""
