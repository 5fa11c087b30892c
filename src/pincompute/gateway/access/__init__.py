"""Authentication and authorization: tokens of issuers, service tokens, certificates, roles and permissions."""

from pincompute.gateway.access.authentication import Authenticator
from pincompute.gateway.access.authorization import Allowed, Authorizer, Decision, Denied
from pincompute.gateway.access.roles import Roles
from pincompute.gateway.access.service_tokens import ServiceToken, ServiceTokens, TokenScope

__all__ = [
    "Allowed",
    "Authenticator",
    "Authorizer",
    "Decision",
    "Denied",
    "Roles",
    "ServiceToken",
    "ServiceTokens",
    "TokenScope",
]
