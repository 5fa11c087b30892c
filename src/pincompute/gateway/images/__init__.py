"""Images of the region's registry: tokens for it, what it holds, and the digests to which workloads are pinned."""
