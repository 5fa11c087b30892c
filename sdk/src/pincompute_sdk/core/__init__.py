"""The hand-written part of the client: it sends, retries and streams calls. The generated code uses it."""
