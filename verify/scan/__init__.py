"""``verify scan``: every custom rule of a package, how to call it, and the verdict.

    modules --> rules --> calls --> the ordinary judge
    imported    objects   shapes,   each under the limits of a worker
    one by one  found     domains
"""
