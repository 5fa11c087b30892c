"""Enforces NetworkPolicies on the real nodes of a region: policies become nftables rules in the node's network namespace."""
