"""Settings of tenants: declared by apps, stored by tenant."""
