"""Identity: sign-in by OpenID Connect, roles by claims, second factors."""
