"""`init`: creates a working folder for users who have installed the package and have no checkout."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from loadbench.workspace import Workspace

_CONFIGURATIONS = ("config.yaml", "config.aws.yaml")
_IGNORED = """\
# What runs leave behind.
results/
.loadbench/
.localaws/
# The Hugging Face token.
.env
"""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Create a working folder; overwrites nothing.

    Writes config.yaml, config.aws.yaml and a .gitignore into FOLDER, by default the current one.

    \b
    Examples:
      loadbench init
      loadbench init my-benchmark
    """
    from loadbench.errors import UsageError

    assets = Workspace.here().assets
    files = {name: (assets / name).read_text(encoding="utf-8") for name in _CONFIGURATIONS}
    files[".gitignore"] = _IGNORED
    try:
        existing = [name for name in files if (folder / name).exists()]
        if existing:
            raise UsageError(
                f"{folder.resolve()} already has {', '.join(existing)}; nothing was written",
                remedy="Use the existing files, or name an empty folder: loadbench init FOLDER",
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise UsageError(
            f"cannot write into {str(folder.absolute())[:200]}: {error.strerror}",
            remedy="Name another folder.",
        ) from error
    click.echo(f"Wrote {', '.join(files)} into {folder.resolve()}.")
    first = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    click.echo(f"Next: {first}loadbench compare   (both methods on the embedded AWS, no account needed)")
    click.echo("For a real account: fill in config.aws.yaml, then loadbench doctor --config config.aws.yaml")
