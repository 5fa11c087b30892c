"""Sidecars of the platform: which pods get which version when, over all members."""
