"""The nodes of a region: real ones in namespaces of their own, and simulated ones."""
