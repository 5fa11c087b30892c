"""The only door for users: who may do what, cached reads, writes, logs, shells and history behind one address."""

NAME = "pincompute-gateway"  # of the process, of its rights, and of the field manager of what it writes
