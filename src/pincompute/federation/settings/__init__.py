"""Holds the controllers of secrets and configurations, which carry them to the members that need them."""
