"""Cold starts of a configuration over time: levels, changes of level, and versions that changed with them."""
