"""`pin image`: images of the region's registry."""
