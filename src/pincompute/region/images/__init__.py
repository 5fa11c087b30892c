"""The registry of an embedded region, and the platform's own images in it."""
