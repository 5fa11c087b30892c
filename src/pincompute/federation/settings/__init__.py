"""Holds the controllers of secrets and configs, which carry them to the members that need them."""
