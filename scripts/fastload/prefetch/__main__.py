"""`python -m fastload.prefetch`: started by `fastload.prefetch.client`."""

import os
import sys

from fastload.prefetch.process import main

# Threads that are still reading must not keep the process alive.
os._exit(main(sys.argv[1:]))
