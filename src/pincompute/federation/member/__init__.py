"""Holds the controllers of member clusters, and a member's state as other controllers see it."""
