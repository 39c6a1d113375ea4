"""The fitted model, and what can be done with it."""
