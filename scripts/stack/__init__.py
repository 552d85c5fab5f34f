"""The real services of the tests, each in its own folder and on its own ports of the loopback.

`cli` reads what is wanted, `registry` knows the services by name, `up_and_down` brings them up side
by side, `supervise` looks after one process: starts it, waits for it, ends it. A service says what
to run (`Launch`) and how to know that it answers; `record` remembers what was started, so that
nothing else is ever stopped. Linux only (/proc, pidfd); standard library only.
"""
