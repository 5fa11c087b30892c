"""The region's control loop on the host cluster: scheduling, workloads, members and projects."""
