"""Authentication and authorization: tokens of issuers, service tokens, certificates, roles and permissions."""

from pincompute.gateway.access.authentication import Authenticator
from pincompute.gateway.access.authorization import ALLOWED, Authorizer, Decision
from pincompute.gateway.access.roles import Roles
from pincompute.gateway.access.service_tokens import ServiceToken, ServiceTokens, TokenScope

__all__ = [
    "ALLOWED",
    "Authenticator",
    "Authorizer",
    "Decision",
    "Roles",
    "ServiceToken",
    "ServiceTokens",
    "TokenScope",
]
