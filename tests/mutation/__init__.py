"""Mutation testing of the judge: mistakes planted in the catalogue's own source, and how many `verify run` finds.

    python -m tests.mutation --seed 0 --count 500

``operators`` makes mistakes, ``reach`` says which lines the hand-written side of which claim executes, ``draw``
draws mutants from a seed, ``judging`` judges them as ``verify run`` does, ``equivalence`` evaluates survivors to 50
digits, ``report`` writes it all down.
"""
