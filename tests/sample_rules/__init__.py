"""A package as others write them: hand-written rules in every calling style of JAX's documentation.

Some parameters are annotated, some are explained by a docstring example, some by nothing at all. One rule is wrong.
"""

from tests.sample_rules.forward import log1pexp as log1pexp
