"""The hot loops: compiled, and their twins in NumPy."""
