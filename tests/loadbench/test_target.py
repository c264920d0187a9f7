"""What is known of a target before it is reached."""

from __future__ import annotations

from importlib import metadata

from loadbench.target import missing_of_local


def test_only_what_the_embedded_aws_needs_and_nobody_installed_is_missing() -> None:
    requirements = [
        "click>=8",
        "pydantic>=2; extra == 'local'",
        "no-such-package[iam,sts]>=5.1; extra == 'local'",
        'no.other-package; python_version >= "3.11" and extra == "local"',
        "not-asked-for; extra == 'dev'",
        "not-asked-for-either>=1; extra == 'local-tools'",
    ]
    assert missing_of_local(requirements) == ["no-such-package", "no.other-package"]


def test_the_extra_is_named_in_this_package() -> None:
    assert [text for text in metadata.requires("loadbench") or [] if text.startswith("torch")]
    assert missing_of_local(metadata.requires("loadbench") or []) == []
