"""Where workloads run. `demand` is what a placement depends on, `pool` the controller that decides."""
