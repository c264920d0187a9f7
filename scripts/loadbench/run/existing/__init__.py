"""Endpoints that loadbench did not deploy: observed while they start, or imported afterwards; never
changed.
"""
