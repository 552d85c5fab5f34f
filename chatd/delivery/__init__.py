"""From a stored event to sockets. Below the services; knows no socket type."""
