"""Renders Terraform's variable file from a plan and its template.

Terraform reads strings in `*.tfvars.json` literally (in `*.tfvars` a `${` starts a template), so JSON
escaping is enough, and the Jinja environment below refuses values that were not escaped.
"""

from __future__ import annotations

import dataclasses
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from loadbench.errors import ConfigError, RunError
from loadbench.load_paths import EndpointKind, LoadPath
from loadbench.results.run_record import ResourceNames, write_atomically
from loadbench.workspace import Workspace

_TEMPLATE = "deployment.tfvars.json.j2"


@dataclass(frozen=True)
class Plan:
    """All Terraform variables of one deployment, except the token, which is passed as TF_VAR_…"""

    path: LoadPath
    run_id: str
    region: str
    project: str
    names: ResourceNames
    image: str
    environment: Mapping[str, str]
    model_data_uri: str | None  # s3://bucket/prefix/; None: the container pulls its weights
    endpoint_settings: Mapping[str, Any]  # attributes of the variable `endpoint` that are passed unchanged
    endpoint_kind: EndpointKind
    health_check_timeout_s: int
    download_timeout_s: int
    role_arn: str | None  # None: `names.role` is created
    readable_s3_uris: Sequence[str]
    use_hf_token: bool
    accelerators: int
    enable_caching: bool | None  # SageMaker's data cache; None: nothing is requested
    tags: Mapping[str, str]


def render(plan: Plan, destination: Path, templates: Path | None = None) -> Path:
    """Write `<path>.tfvars.json` into the folder `destination` and return its path.

    `templates` defaults to the folder of this checkout. Raises ConfigError for a string that Terraform would
    change, RunError if the template is broken.
    """
    _refuse_what_terraform_changes(dataclasses.asdict(plan) | {"names": plan.names.model_dump()})
    try:
        text = _environment(templates or Workspace.here().assets / "templates").get_template(_TEMPLATE)
        rendered = text.render(plan=plan)
        document = json.loads(rendered)
    except (jinja2.TemplateError, ValueError, TypeError, OSError) as error:
        raise RunError(
            f"templates/{_TEMPLATE} does not produce JSON: {error}",
            remedy="Fix the template; every value is written as {{ value | json }}.",
        ) from error
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, dict) or model.get("environment") != dict(plan.environment):
        raise RunError(
            f"templates/{_TEMPLATE} changes the container's environment",
            remedy="Write model.environment as {{ plan.environment | json }}.",
        )
    return write_atomically(destination / f"{plan.path}.tfvars.json", rendered)


class _Json(str):
    """Output of the JSON filter."""


def _to_json(value: Any) -> _Json:
    return _Json(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    """Mappings and sequences other than dict and list."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    # `str` of an undefined name raises Jinja's error, which names it.
    raise TypeError(f"{str(value)!r} cannot be converted to JSON")


def _only_json(value: object) -> object:
    """Jinja calls this for every value before it writes it."""
    if not isinstance(value, _Json):
        raise TypeError(f"the value {value!r} is not passed through the filter `json`")
    return value


def _environment(templates: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        undefined=jinja2.StrictUndefined,
        finalize=_only_json,
        autoescape=False,  # noqa: S701 -- the output is JSON, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["json"] = _to_json
    return environment


def _refuse_what_terraform_changes(value: Any, where: str = "") -> None:
    """Raise ConfigError for a string that cannot pass through Terraform unchanged.

    Terraform normalizes every string to Unicode NFC, and a UTF-8 file cannot contain lone surrogates: both
    would be changed silently.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_what_terraform_changes(str(key), f"{where}{key} (the name)")
            _refuse_what_terraform_changes(item, f"{where}{key}")
    elif isinstance(value, str):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ConfigError(
                f"{where}: {value!r} is not valid Unicode text", remedy="Write the value as UTF-8 text."
            )
        if not unicodedata.is_normalized("NFC", value):
            raise ConfigError(
                f"{where}: Terraform would change {value!r}: it normalizes text to Unicode NFC",
                remedy="Write accented letters as single characters.",
            )
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            _refuse_what_terraform_changes(item, f"{where}[{index}]")
