"""The audit log: its entries, their hash chains with seals, the signed chain heads, and verification."""
