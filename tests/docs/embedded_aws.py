"""The table of members in docs/embedded-aws.md; `python -m tests.docs.embedded_aws` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from localaws.protocol.service_models import service_model
from localaws.services import supported_members
from localaws.services.s3 import supported_members as s3
from localaws.services.sagemaker import supported_members as sagemaker

PAGE = Path(__file__).resolve().parents[2] / "docs" / "embedded-aws.md"
BEGIN, END = "<!-- members: begin (generated) -->", "<!-- members: end -->"
SERVICES: tuple[tuple[str, str, Mapping[str, supported_members.Names]], ...] = (
    ("S3", "s3", s3.HONOURED),
    ("SageMaker", "sagemaker", sagemaker.HONOURED),
    ("SageMaker Runtime", "sagemaker-runtime", sagemaker.RUNTIME_HONOURED),
)


def table() -> str:
    """The tables as Markdown: counts, then one row per served operation, then the operations not served."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for title, service, served in SERVICES:
        model = service_model(service)
        rows = {
            name: supported_members.split(model.operation_model(name).input_shape, served[name])
            for name in served
        }
        kept, refused = (sum(len(row[side]) for row in rows.values()) for side in (0, 1))
        others = sorted(set(model.operation_names) - set(served))
        yield f"\n### {title}\n"
        yield (
            f"{len(served)} operations are served, {len(others)} are rejected with an error that names them. "
            f"Of the request members of served operations, {kept} are honoured and {refused} rejected.\n"
        )
        yield "| operation | honoured | rejected |"
        yield "|---|---|---|"
        for name, (listed, left) in sorted(rows.items()):
            yield f"| `{name}` | {_names(listed, served[name])} | {_names(left, ())} |"
        if service == "s3":
            yield f"\nRejected with `NotImplemented` (501): {_names(others, ())}."


def _names(names: list[str], whole: supported_members.Names) -> str:
    """Members formatted as code; `.*` marks members that include all members inside them."""
    shown = [f"{name}.*" if f"{name}.*" in whole else name for name in names]
    return ", ".join(f"`{name}`" for name in shown) or "none"


def written(page: str) -> str:
    """The page with a regenerated table."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
