"""Logs of all replicas of a workload in all zones, as one stream in the order of time.

Past lines are merged exactly, live lines as far as a short wait allows. A mark in the stream says what cannot be shown: a
replica that moved, a container that restarted, a cluster that does not answer, a wrong clock, lines that a slow client missed.
"""
