"""vLLM's load format `fastload`: reads weights from S3 before the engine has started.

Nothing of fastload imports this package; vLLM finds it by the entry point `vllm.general_plugins`.
"""
