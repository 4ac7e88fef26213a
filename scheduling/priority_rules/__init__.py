"""Priority under load: rules that move jobs within their tenant's line while a load state lasts."""
