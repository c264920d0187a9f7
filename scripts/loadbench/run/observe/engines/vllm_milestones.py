"""Phases in vLLM's log other than the weights: 0.6 to 0.32, on GPUs, on CPUs and on Ascend.

Only the text is matched, because file names, line numbers and levels change with every version.
docs/log-coverage.md has the share of public logs that these lines explain.
"""

from __future__ import annotations

from loadbench.run.observe.engines.milestones import milestone

# The first pattern that matches a line counts.
BEFORE_WEIGHTS = (
    milestone(
        "requirements", r"^(?:Collecting |Requirement already satisfied|Successfully installed|Installing )"
    ),
    # djl-serving, until it starts the process of the model.
    milestone(
        "front_end_start",
        r"^Starting model server|^Initializing model: |^WorkerPool|[Ss]caling up|^loading model|"
        r"^Start process: |^Set (?:CUDA_VISIBLE_DEVICES|before mpirun)",
    ),
    milestone("process_spawn", r"spawned: '"),
    milestone(
        "imports",
        r"^Automatically detected platform|^(?:Platform )?[Pp]lugin \w+ is activated|No plugins for group|"
        r"^Available plugins for group|^Python engine started|^Triton is installed|^Triton not installed|"
        r"[Ff]ailed to import|Failed to read commit hash|^Importing from|deprecated|"
        r"^vLLM API server version|^args: |^non-default args|█.*version \d|^Registered model loader|"
        r"^Confirmed \w+ platform",
    ),
    milestone(
        "engine_configuration",
        r"^Resolved architecture|model supports multiple tasks|^Using max model len|^Downcasting |"
        r"^Casting torch|"
        r"^Chunked prefill is enabled|^Asynchronous scheduling is|^Defaulting to use|^Final IR op priority|"
        r"^Enforce eager|^Cudagraph is disabled|^Inductor compilation was disabled|^Enabled custom fusions|"
        r"data type to store kv cache|^Setting attention block|^To see benefits of async|^Block size is set|"
        r"^Using '?ray|^Disabled the custom all-reduce|^The model is convertible|^Started engine process|"
        r"Model Runner V2|^HUZ: Init Tokenizer",
    ),
    milestone(
        "process_spawn",
        r"^Initializing an? .*LLM engine|^Waiting for init message|^Waiting for \d+ local|"
        r"world_size=\d+ rank=|"
        r"^Binding \w+ subprocess|^Worker ready; awaiting tasks|^Reducing Torch parallelism|"
        r"HELLO from local core|Connecting to existing Ray|Connected to Ray cluster|"
        r"Missing `shared_worker_lock`|"
        r"^Multiprocessing frontend|pinned memory|^auto thread-binding|^OMP threads binding|^OMP tid",
    ),
    milestone(
        "distributed_start",
        r"^rank \d+ in world size|using nccl|peer ranks|P2P|message queue communication handle|all-reduce|"
        r"^Found nccl|^Starting to load model|^Loading model from scratch|^SymmMem|^DP group leader|"
        r"DistributedManager|all2all|^Init distributed|^Using \w+ manager",
    ),
    milestone("model_construction", r"[Ii]nitializing [Mm]odel took (?P<seconds>[\d.]+)"),
    milestone(
        "model_construction",
        r"attention backend|^Using model weights format|^Filesystem type for checkpoints|^Auto-prefetch|"
        r"^Loading (?:\w+ )*checkpoint shards: +0%|^Using .*(?:Kernel|backend|Method)\b|MoE backend|"
        r"^Loading drafter model|^Detected .* checkpoint|^Tiered EP|weight filter|"
        r"^\[EP Rank|^No model\.safetensors|^DeepGEMM|^Selected \w+",
    ),
)

AFTER_WEIGHTS = (
    milestone(
        "weights_processing",
        r"^Model loading took|^Loading model weights took|load_model total time|^Loading weights took|"
        r"[Ww]eights processing|oneDNN linear|^Expert parallel load balancing|^EPLB",
    ),
    milestone("compilation", r"^Dynamo bytecode transform time: (?P<seconds>[\d.]+) s", "kv_cache_profiling"),
    milestone("compilation", r"^Compiling a graph for .* takes (?P<seconds>[\d.]+) s"),
    milestone("compilation", r"^Directly load .* took (?P<seconds>[\d.]+) s"),
    milestone(
        "compilation",
        r"^torch\.compile (?:takes|took) (?P<seconds>[\d.]+) s in total",
        "kv_cache_profiling",
        total=True,
    ),
    milestone(
        "compilation",
        r"^Cache the graph|^Directly load|^saved AOT|^reusing AOT|^Using cache directory|^Start compiling|"
        r"^Post-grad pass|^Traced files|^Computation graph saved|^vLLM's torch\.compile cache|hash factors|"
        r"^collective_rpc.*compile|torch_compile_cache",
    ),
    milestone(
        "kv_cache_profiling",
        r"[Mm]emory profiling|^Available KV cache memory|KV cache size|^# \w+ blocks|^# GPU blocks|"
        r"^Maximum concurrency|profiling/warmup run took|^Free memory on device|^Encoder cache will be|"
        r"^the current vLLM instance can use|^Profiling CUDA graph|^Estimated CUDA graph|"
        r"^Multi-modal warmup|^Readonly multi-modal|^Using cache_size|KV cache layout|kv cache dtype|"
        r"^Overriding num_gpu_blocks|^Setting kv cache block size|VLLM_CPU_KVCACHE_SPACE",
    ),
    # Before this line, blocks were allocated; the phase after it is ended by the next line.
    milestone(
        "kv_cache_profiling",
        r"^Capturing (?:the model|cudagraphs) for|^Capturing CUDA graphs[^:]*: +0%",
    ),
    milestone(
        "graph_capture",
        r"^Graph capturing finished in|^Capturing CUDA graph|cuda graph addresses|^CUDA graph (?:pool|takes)|"
        r"graph pool memory|^CUDAGraph|^Capturing CUDAGraph",
    ),
    milestone(
        "warm_up_run",
        r"^init engine \(|[Ww]arm(?:ing)? ?up|^Kernel JIT monitor|autotun|^Skipping .*warmup|^Warmup|"
        r"compile or warm up",
    ),
    milestone(
        "server_start",
        r"^Supported[_ ]tasks|^Default vLLM sampling|[Cc]hat template|^Starting vLLM|^Available routes|"
        r"^Route: |"
        r"Started server process|Waiting for application startup|Application startup complete|"
        r"^Model \[[^\]]*\] initialized|[Tt]ool choice|^API server|^vLLM API server version|^Using default|"
        r"generation[ _]config|^Launching|^vLLM is using|Uvicorn running|^Automatically detected platform|"
        r"^Overriding .*sampling|^Asynchronous scheduling|^Serving|^Python engine|^Engine 0|^GET|^enable_",
    ),
)
