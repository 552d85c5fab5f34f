import os
import sys

from testclients.terminal import main

code = main()
sys.stdout.flush()
sys.stderr.flush()
# Not sys.exit, which would wait for the thread of a request that Ctrl-C has given up.
os._exit(code)
