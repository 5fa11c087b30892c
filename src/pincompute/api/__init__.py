"""Every kind the platform owns or reads, as values. No I/O, no clock."""
