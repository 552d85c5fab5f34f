"""REST and the other HTTP doors."""
