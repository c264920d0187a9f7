"""Tests of loadbench/what_if."""
