"""Migrations of the store, in order; a migration that was released never changes."""
