"""What a derivation buys: ``verify bench --derivations``.

    networks.py, ridge.py, cross_entropy.py    the comparisons: by hand, jax.grad of the plain formulation, and jax.grad
                                               of the best formulation of the same that one could hand to it
    measure.py    times in turn, temporary memory and operations of the compiled programs
    record.py, report.py    what was measured, and how it is shown: no JAX
"""
