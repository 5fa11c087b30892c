"""app.yaml: read with its places, checked before anything is sent, and pointed at when the server refuses a field."""
