"""Who one is, tokens for programs, roles, and what administrators look at."""
