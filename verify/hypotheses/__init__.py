"""Hypotheses about a wrong derivative, one idea a file, each fitted to evidence. Pure NumPy."""
