"""Which records apply to which start: the group within which a coefficient has similar values."""

from __future__ import annotations

from loadbench.predict.start import StartSpec


def group_of(coefficient: str, start: StartSpec) -> str:
    """The group of a start for a coefficient. On the embedded AWS every instance type is this machine."""
    rule = _LOCAL.get(coefficient) if start.emulated else _AWS.get(coefficient, "{instance_type}")
    return (rule or "").format(
        engine=start.engine,
        loading=start.loading,
        kind=start.endpoint_kind,
        image=start.image_name,
        model=start.model_id,
        instance_type=start.instance_type,
    )


# The instance type determines the machine; imports and readiness do not depend on the loading method.
_AWS = {
    "container_start_s": "{image}, {instance_type}",
    "image_bytes": "{image}",
    "image_expansion": "",
    "connection_bytes_per_s": "",
    "engine_warmup_scale": "{model}, {image}, {instance_type}",
    "engine_warmup_fixed_s": "",
    "engine_warmup_s_per_gb": "",
    "stream_bytes_per_s": "{loading}, {instance_type}",
    "stream_delay_s": "{loading}",
    "health_check_s": "{kind}",
    "optimization_job_s": "{model}, {instance_type}",
}
# Here the same cores do everything, so a stream during the imports slows them down.
_LOCAL = {
    "container_start_s": "{engine}, {loading}",
    "engine_warmup_scale": "{engine}, {model}",
    "stream_bytes_per_s": "{loading}",
    "stream_delay_s": "{engine}, {loading}",
    "rate_share": "{loading}",
    "health_check_s": "{kind}",
    "weights_to_host_bytes_per_s": "{engine}, {model}",
    "weights_to_device_bytes_per_s": "{engine}, {model}",
    "optimization_job_s": "{model}",
}
