"""`python -m fastload.prefetch`: started by `fastload.prefetch.client`."""

import os
import sys

from fastload.prefetch.process import main

# Threads that still read do not hold the process.
os._exit(main(sys.argv[1:]))
