"""Logs of all replicas of a workload in all zones, as one stream in the order of time.

Past lines are merged exactly; live ones as far as a short wait allows. What cannot be shown is said by a mark in the stream:
a replica that moved, a container that restarted, a cluster that does not answer, a clock that is wrong, lines a slow reader
has missed.
"""
