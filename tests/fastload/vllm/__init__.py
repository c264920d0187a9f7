"""fastload.vllm."""
