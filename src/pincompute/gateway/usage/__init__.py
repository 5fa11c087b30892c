"""Asks the members' usage readers what CPU and memory containers use now, and sums it by replica, zone and workload."""
