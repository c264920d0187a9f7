"""Loads a checkpoint once, in a separate process, into memory that all processes of a machine can map.

`plan` decides what is read and where it is placed in memory, `process` reads it, `client` starts that process
and maps its memory. The package does not depend on a serving engine; only `client` imports torch.
"""
