"""The region's control loop on the host cluster: placement, dispatch, status, cluster health. One file per controller."""
