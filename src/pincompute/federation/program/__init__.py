"""What sidecars and daemons, the programs of the platform, have in common."""
