"""The only door for users: who may do what, cached reads, writes, logs, shells and history behind one address."""
