"""The model server: an LMI-compatible container without the container.

`python -m localaws.container` reads everything from its environment, loads the weights by either path
and serves `/ping` and `/invocations`. What it imports while weights already stream decides the cold
start: torch and transformers are imported only inside the functions that need them.
"""
