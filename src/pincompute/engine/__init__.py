"""The controller engine: controllers decide on plans, which are data, and the engine executes them."""
