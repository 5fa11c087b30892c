"""A small OIDC issuer for development: users in a file, a login page, codes with PKCE, the device flow, refresh tokens."""
