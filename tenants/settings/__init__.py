"""Settings of tenants: the apps declare them, and each tenant stores its own values."""
