"""Holds test doubles and the laws of controllers. Production code never imports it."""
