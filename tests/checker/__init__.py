"""The delivery checker: clients that come and go while the server is killed, everything that they
did and were told, and the promises looked for in it.

`play` makes a history from a seed, `anomalies` judges one. Neither knows the other.
"""
