"""The processes of a region: the supervisor, the runner of one program, its readiness probes and its log."""
