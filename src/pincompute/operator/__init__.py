"""One process per member cluster: turns the shards the federation wrote there into pods, and measures the cluster's room."""
