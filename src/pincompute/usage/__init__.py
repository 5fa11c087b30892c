"""The usage reader of a member: it reads what containers use from the kubelets and serves it to the gateway."""
