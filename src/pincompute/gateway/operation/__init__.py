"""Operation of running workloads: read logs, open shells, copy files, forward ports, and the lifecycle verbs.

All code here reaches a replica through one class, `replica_access.ReplicaAccess`.
"""
