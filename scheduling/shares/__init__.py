"""Fair shares over time: samples, entitlements, decisions."""
