"""Shows results: for people on a terminal, plain in a pipe, and as data."""
