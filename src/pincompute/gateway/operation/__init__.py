"""What a user does with running workloads: read logs, open shells, copy files, forward ports, and the verbs.

Everything reaches a replica through one interface, `backend.ReplicaAccess`; today the members' API servers stand behind it.
"""
