"""Files of tenants in the file storage. Each content is stored once per tenant, as long as a row refers to it."""
