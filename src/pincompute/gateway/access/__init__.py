"""Who calls, and what they may do: tokens of issuers, service tokens, certificates; roles and rights."""

from pincompute.gateway.access.authentication import Authenticator
from pincompute.gateway.access.authorization import Allowed, Authorizer, Decision, Denied
from pincompute.gateway.access.roles import Roles
from pincompute.gateway.access.tokens import Scope, ServiceToken, ServiceTokens, TokenStorage

__all__ = [
    "Allowed",
    "Authenticator",
    "Authorizer",
    "Decision",
    "Denied",
    "Roles",
    "Scope",
    "ServiceToken",
    "ServiceTokens",
    "TokenStorage",
]
