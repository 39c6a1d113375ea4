"""jbc: batch correction in pure JAX."""
