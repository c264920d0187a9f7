"""The start probe: a file for the container that notes what a start does, and how it gets there."""
