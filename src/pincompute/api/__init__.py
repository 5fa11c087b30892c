"""Defines, as values, every kind that the platform owns or reads. It does no I/O and reads no clock."""
