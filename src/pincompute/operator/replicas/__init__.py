"""Runs the pods of a shard: they follow its mix of revisions within its budget."""
