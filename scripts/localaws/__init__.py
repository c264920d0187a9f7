"""An embedded AWS: the API calls that a SageMaker deployment needs, with real model servers behind them."""
