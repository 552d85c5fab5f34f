"""Jobs that are done behind the back of the daemon: by the worker, or embedded by the node."""
