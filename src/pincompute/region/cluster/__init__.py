"""One cluster of a region: its control plane, certificates, DNS and installed manifests."""
