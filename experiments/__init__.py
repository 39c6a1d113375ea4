"""Experiments that reproduce the papers and measure speed; README.md lists them."""
