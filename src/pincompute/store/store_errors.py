"""Errors of the store."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot be used with these settings."""


class StoreUnavailable(StoreError):  # noqa: N818 - a state that passes, not a mistake
    """The database does not answer now. Records wait; reads must be repeated."""


class StoreRefused(StoreError):  # noqa: N818 - an answer
    """The database never takes this value."""
