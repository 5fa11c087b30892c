"""Decides where workloads run: one controller per pool filters, scores and divides."""
