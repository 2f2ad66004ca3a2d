"""A run from its targets to its record: workers, folders, teams, and what past runs said."""
