"""A checkpoint in memory that every process of a machine can map, read once by a process of its own.

`plan` says what is read and where it goes, `process` reads it, `client` starts that process and maps its
memory. Nothing here knows a serving engine; only `client` imports torch, and only when tensors are asked for.
"""
