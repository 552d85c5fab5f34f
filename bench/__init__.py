"""chatd's benchmark. Run from a checkout with `python -m bench`; never installed.

Servers and load run in processes of their own, so that the CPU of each can be told apart. Linux
only: the figures come from /proc.
"""
