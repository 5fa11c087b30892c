"""Runs workloads in their members: revision history, rollout, dispatch and status are steps of one controller."""
