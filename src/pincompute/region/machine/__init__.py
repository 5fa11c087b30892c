"""What the machine offers a region, which ports other processes hold, and what a region left in the kernel."""
