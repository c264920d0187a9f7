"""Cold starts of one configuration over time: levels, changes of level, and the versions they came with."""
