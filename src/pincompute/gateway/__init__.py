"""The gateway: one address for users, with access control, cached reads, writes, logs, shells and history."""

NAME = "pincompute-gateway"  # of the process, of its rights, and of the field manager of what it writes
