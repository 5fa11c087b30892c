"""Migrations of the store, in their order. A released migration never changes."""
