"""The hand-written half of the client: what a call is, how it is sent, retried and followed. `generated` stands on it."""
