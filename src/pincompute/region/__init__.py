"""The embedded region: real etcd, Kubernetes and nodes on one machine. User, test fixture and benchmark bed in one."""
