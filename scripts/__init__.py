"""Programs for those who work on chatd. Run from a checkout; never installed."""
