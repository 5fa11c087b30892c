"""This package holds test doubles and the laws of controllers. Production code never imports it."""
