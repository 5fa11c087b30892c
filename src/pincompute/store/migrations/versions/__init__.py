"""Migrations, one file for each."""
