"""The faces of jbc: scikit-learn and scverse."""
