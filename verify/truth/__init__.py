"""The derivative itself, in exact arithmetic, and who of two differing sides is right."""
