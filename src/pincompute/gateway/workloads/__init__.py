"""The workload API: what users want to run."""
