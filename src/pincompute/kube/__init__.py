"""The only access to Kubernetes: client, informers, writes, leader election."""
