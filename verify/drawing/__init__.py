"""What a claim's arguments may be, and how cases of them are drawn."""
