"""Holds the controller of projects."""
