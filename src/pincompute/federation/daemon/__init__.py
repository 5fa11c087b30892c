"""Daemons of the platform: which member runs which version when."""
