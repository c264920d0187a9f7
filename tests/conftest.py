"""What every test process needs."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell that starts something in the background has SIGINT ignored, and children inherit that: tests of
# Ctrl-C would wait for an interrupt that never comes.
signal.signal(signal.SIGINT, signal.default_int_handler)
# nohup does the same to SIGHUP. A handler here keeps the tests going, and what they start gets the default.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)

# Speed is measured in benchmarks: a busy machine must not fail a property.
settings.register_profile("busy", deadline=None)
settings.load_profile("busy")
