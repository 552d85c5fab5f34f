"""Clients of chatd for tests, the bench and the terminal. Run from a checkout; never installed."""
