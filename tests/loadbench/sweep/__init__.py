"""Tests of loadbench/run/sweep, loadbench/results/sweep and the command."""
