"""An API server in memory: `ClusterStore` holds one cluster's objects, `MemoryServer` serves them over HTTP.

The contract suite in tests/contract runs against it and against a real kube-apiserver, so that both behave alike.
"""
