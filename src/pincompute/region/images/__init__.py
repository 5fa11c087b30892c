"""Container images of a region: how they are built, their layers, and the registry that serves them."""
