"""The controller engine: plans as data, one loop that acts on them, laws that every controller obeys."""
