"""What every test process needs."""

from __future__ import annotations

import signal

# A shell that starts something in the background has SIGINT ignored, and children inherit that: tests of
# Ctrl-C would wait for an interrupt that never comes.
signal.signal(signal.SIGINT, signal.default_int_handler)
