"""A workload in its members: revisions, rollout, dispatch and report are the steps of one controller."""
