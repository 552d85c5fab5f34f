"""Durable truth: ports, and beside each its adapters by suffix."""
