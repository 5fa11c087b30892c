"""Container images: their names, image layouts and archives on this machine, and the client of the region's registry."""
