"""Tests of SageMaker as the embedded AWS serves it, through other people's clients."""
