"""An API server in memory, for tests: `Store` is one cluster's objects, `MemoryServer` serves them over HTTP.

Kept honest by tests/contract, one suite that runs against it and against a real kube-apiserver.
"""
