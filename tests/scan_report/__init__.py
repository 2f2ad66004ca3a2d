"""The published report of scans: tables from the records, and each discrepancy run again in plain JAX."""
