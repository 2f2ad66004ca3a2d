"""From cells to one verdict a claim: the judge, what it found, and how a failure is explained."""
