"""Numerical building blocks that know neither data nor methods."""
