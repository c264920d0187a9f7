"""Cold starts before they are paid for: a physical model, its coefficients, and what records teach them."""
