"""`completion`: shell completion of commands, options and paths."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script for shell completion.

    \b
    Examples:
      eval "$(loadbench completion bash)"    in ~/.bashrc
      eval "$(loadbench completion zsh)"     in ~/.zshrc
      loadbench completion fish | source     in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    root = context.find_root()
    click.echo(found(root.command, {}, "loadbench", "_LOADBENCH_COMPLETE").source())
