"""The model server: a process that behaves like an LMI container.

`python -m localaws.container` reads everything from its environment, loads the weights by either path
and serves `/ping` and `/invocations`. torch and transformers are imported only inside the functions that need
them, because imports before the weights stream would delay the cold start.
"""
