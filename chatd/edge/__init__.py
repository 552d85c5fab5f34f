"""The doors: everything that accepts a WebSocket."""
