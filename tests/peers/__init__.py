"""The corpus of mistakes, judged by ``verify`` and by the checks that people use today: ``python -m tests.peers``."""
