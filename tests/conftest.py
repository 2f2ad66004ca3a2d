"""The tests share the compilation cache of the commands: what was compiled in the last run is not compiled again."""

import os

from verify.cells import compile_cache

for name, value in compile_cache.settings().items():  # before JAX is imported
    os.environ.setdefault(name, value)
