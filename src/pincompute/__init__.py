"""pincompute is an open compute platform over many Kubernetes clusters."""

__version__ = "0.1.0"
