"""Sweeps: an element-wise derivative over the whole floating-point axis.

    points (which inputs) -> sides (hand, jax.grad) and truth (the exact value) -> measure (ulp) -> tally -> report
"""
