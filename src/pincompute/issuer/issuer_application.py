"""The issuer's application: its pages and endpoints, and its refusals as a page for people, as JSON for programs."""

from __future__ import annotations

import logging
from typing import Any

from litestar import Litestar, Response
from litestar.config.app import AppConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException

from pincompute.issuer import html_forms, html_pages, login_handlers, token_handlers
from pincompute.issuer.html_forms import IssuerRequest
from pincompute.issuer.issuer_service import IssuerService
from pincompute.issuer.login_handlers import ACTIVATE, AUTHORIZE
from pincompute.issuer.oauth_errors import IssuerError, OAuthError

log = logging.getLogger(__name__)

LARGEST = 64 * 1024  # bytes of a form


def build(service: IssuerService) -> Litestar:
    def given() -> IssuerService:
        return service

    return Litestar(
        route_handlers=[*login_handlers.ROUTES, *token_handlers.ROUTES],
        dependencies={"service": Provide(given, sync_to_thread=False)},
        exception_handlers={OAuthError: _refused, HTTPException: _http, Exception: _failed},
        request_max_body_size=LARGEST,
        openapi_config=None,
        on_app_init=[_quiet],
    )


def _quiet(config: AppConfig) -> AppConfig:
    config.logging_config = None
    return config


def _refused(request: IssuerRequest, error: OAuthError) -> Response[Any]:
    if request.url.path in (AUTHORIZE, ACTIVATE):
        return Response(
            html_pages.message("This does not work", error.description),
            media_type="text/html",
            status_code=error.status,
            headers=html_forms.headers(),
        )
    answer = {"error": error.code, "error_description": error.description}
    challenge = {"WWW-Authenticate": f'Bearer error="{error.code}"'} if error.status == 401 else {}
    return Response(answer, status_code=error.status, headers=token_handlers.FRESH | challenge)


def _http(request: IssuerRequest, error: HTTPException) -> Response[Any]:
    return _refused(request, OAuthError("invalid_request", error.detail, error.status_code))


def _failed(request: IssuerRequest, error: Exception) -> Response[Any]:
    told = str(error) if isinstance(error, IssuerError) else ""
    log.error("request failed", exc_info=None if told else error, extra={"path": request.url.path, "problem": told})
    return _refused(request, OAuthError("server_error", "the issuer failed; its log says why", 500))
