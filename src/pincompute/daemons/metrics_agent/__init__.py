"""The metrics agent of a node: it serves figures of the node and of its containers for Prometheus to scrape."""
