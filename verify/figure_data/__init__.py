"""What the plots of a report are drawn from."""
