"""JAX programs, translated once and run in NumPy's or in ball arithmetic."""
