"""Which records tell of which start: the group within which a coefficient's values are alike."""

from __future__ import annotations

from loadbench.predict.start import StartSpec


def group_of(coefficient: str, start: StartSpec) -> str:
    """A coefficient's group of one start. On the embedded AWS every instance type is this machine."""
    instance = "" if start.emulated else f" {start.instance_type}"
    if coefficient == "container_start_s":
        return f"{start.engine} {start.loading}{'' if start.emulated else f' {start.image_name}'}{instance}"
    if coefficient in ("image_bytes", "optimization_job_s"):
        return start.image_name
    if coefficient == "engine_warmup_scale":
        return f"{start.engine} {start.model_id}{instance}"
    if coefficient in ("stream_bytes_per_s", "stream_delay_s", "rate_share", "health_check_s"):
        return f"{start.loading}{instance}"
    if coefficient in ("weights_to_host_bytes_per_s", "weights_to_device_bytes_per_s"):
        return f"{start.engine} {start.model_id if start.emulated else ''}{instance}"
    if coefficient == "compile_cold_s":
        return start.model_id
    return instance.strip()
