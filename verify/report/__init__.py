"""Reports: one record, shown in the terminal, as Markdown, as HTML and as JUnit XML."""
