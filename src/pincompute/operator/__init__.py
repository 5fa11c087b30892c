"""The process in each member cluster that turns shards into pods and measures the cluster's capacity."""
