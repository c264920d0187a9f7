"""What a Python program that a test or benchmark starts prints of its own memory."""

from __future__ import annotations

# An expression: the program's own peak in bytes. getrusage's also remembers the process that started it.
PEAK_MEMORY_BYTES = "int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) * 1024"
