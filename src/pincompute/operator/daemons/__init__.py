"""Makes the DaemonSets of the platform's daemons in a member, and reports their nodes."""
