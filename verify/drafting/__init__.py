"""Starting files for a user's derivative."""
