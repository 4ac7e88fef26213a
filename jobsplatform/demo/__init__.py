"""The demonstration: three tenants index the example corpus on one fair pool of real workers."""
