"""The commands: a file each, with ``parser()`` and ``execute(parsed, argv)``, which returns the exit code."""
