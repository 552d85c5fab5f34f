"""chatd: a chat server that speaks typed JSON frames over WebSockets."""

__version__ = "0.1.0"
