"""A sweep: many configurations, each cell an ordinary run, within a budget that is never passed."""
