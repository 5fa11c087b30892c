"""Defines the errors between us and the database."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used in the way that was asked for."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state that passes, not a mistake
    """The database does not answer now. Writes wait meanwhile; reads must be repeated."""


class StoreRefused(StoreError):  # noqa: N818 - an answer
    """The database never takes this value."""
