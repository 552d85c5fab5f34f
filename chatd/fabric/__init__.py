"""Shared between nodes and allowed to be lost: ports, and beside each its adapters by suffix."""
