"""Predicts cold starts: a physical model, its coefficients, and how they are learned from records."""
