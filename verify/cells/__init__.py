"""The cells of a claim: one backend, dtype, precision and mode each, run and compared."""
