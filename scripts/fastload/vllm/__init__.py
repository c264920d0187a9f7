"""vLLM's load format `fastload`: weights from S3 that are on their way before the engine is there.

Nothing of fastload imports this package; vLLM finds it by the entry point `vllm.general_plugins`.
"""
