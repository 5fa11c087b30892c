"""This package is the only access to Kubernetes: client, informers, writes, leader election."""
