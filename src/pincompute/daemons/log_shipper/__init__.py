"""The log shipper of a node: it copies the logs of containers to a folder for each project, rotated and bounded."""
