"""Brings the pods of a member to the versions of the sidecars that they have."""
