"""What is assumed of AWS: settled by reading, by making what is free, and by paid deployments."""
