"""A sweep: runs of many configurations within a budget. Each run of a cell is an ordinary run."""
