"""`python -m localaws`."""

from .cli import main

main()
