"""A throw-away kind in a package of its own: a service that says which team it is of. Nothing else in the tree knows it."""
