"""A checkpoint in memory that every process of a machine can map, read once by a separate process.

`plan` decides what is read and its place in memory, `process` reads it, `client` starts that process and maps
its memory. None of it depends on a serving engine; only `client` imports torch, and only for tensors.
"""
