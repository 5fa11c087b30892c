"""The only door to Kubernetes: transport, watch caches, writes, leases."""
