"""Reads and checks app.yaml. Errors of the server name the line and column of the field."""
