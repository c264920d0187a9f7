"""Simulation of a scaling policy under a given traffic, without deploying anything (docs/what-if.md)."""
