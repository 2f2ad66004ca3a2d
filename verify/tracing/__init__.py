"""A claim's two sides as programs: what each relation computes, traced with symbolic sizes."""
