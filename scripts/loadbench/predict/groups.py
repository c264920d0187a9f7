"""Which records tell of which start: the group within which a coefficient's values are alike."""

from __future__ import annotations

from loadbench.predict.start import StartSpec


def group_of(coefficient: str, start: StartSpec) -> str:
    """A coefficient's group of one start. On the embedded AWS every instance type is this machine."""
    rule = _LOCAL.get(coefficient) if start.emulated else _AWS.get(coefficient, "{instance_type}")
    return (rule or "").format(
        engine=start.engine,
        loading=start.loading,
        kind=start.endpoint_kind,
        image=start.image_name,
        model=start.model_id,
        instance_type=start.instance_type,
    )


# The instance type says what machine it is; imports and readiness do not depend on how weights come.
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
# Two cores do everything at once here, so what streams meanwhile slows the imports down.
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
