"""Plans and tiers: what tenants have bought."""
