"""Terraform's binary, its provider, and what has to be done once before a root can be applied."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadbench.errors import PreflightError, RunError
from loadbench.run.progress import OnProgress, Progress, ignore_progress

MINIMUM_VERSION = (1, 7)  # the first with mock_provider, which the tests of the modules need
BINARY_VARIABLE = "LOADBENCH_TERRAFORM"
PLUGINS_VARIABLE = "LOADBENCH_TERRAFORM_PLUGINS"

_HOW_TO_INSTALL = (
    "Install Terraform 1.7 or newer from https://developer.hashicorp.com/terraform/install"
    f" (macOS: brew install hashicorp/tap/terraform), or name one with {BINARY_VARIABLE}=."
)
_PROVIDER = "registry.terraform.io/hashicorp/aws"
_SHARED_FOLDERS = (Path("/opt"), Path("/srv"), Path("/usr/local/share"))
# What a child gets of our own environment. Left out on purpose: TF_LOG writes tokens, TF_CLI_ARGS changes
# commands, TF_WORKSPACE and TF_DATA_DIR point at somebody else's state.
_INHERITED = {
    *("PATH", "HOME", "USER", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "TF_PLUGIN_CACHE_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("XDG_DATA_HOME", "XDG_DATA_DIRS", "XDG_CONFIG_HOME"),
}

_ALWAYS = {
    "CHECKPOINT_DISABLE": "1",
    "TF_IN_AUTOMATION": "1",
    # Terraform and the provider exchange a large schema and soon end. Collecting garbage meanwhile is a
    # quarter of a command's CPU time (`validate`: 2.7 s against 2.0 s); the limit bounds memory instead.
    "GOGC": "off",
    "GOMEMLIMIT": "1GiB",
}


@dataclass(frozen=True)
class Binary:
    """A Terraform that is new enough."""

    path: Path
    version: str


def find_terraform(environment: Mapping[str, str] | None = None) -> Binary:
    """The binary named by LOADBENCH_TERRAFORM, else `terraform`, else `tofu` on the PATH.

    Raises PreflightError when there is none, or none that is new enough.
    """
    variables = os.environ if environment is None else environment
    explicit = variables.get(BINARY_VARIABLE)
    found = [
        Path(path)
        for name in ((explicit,) if explicit else ("terraform", "tofu"))
        if (path := shutil.which(name, path=variables.get("PATH")))
    ]
    if not found:
        what = f"{BINARY_VARIABLE}={explicit}" if explicit else "terraform"
        raise PreflightError(f"{what} was not found", remedy=_HOW_TO_INSTALL)
    binaries = [Binary(path, _version(path)) for path in found]
    for binary in binaries:
        if _numbers(binary.version) >= MINIMUM_VERSION:
            return binary
    raise PreflightError(
        f"{binaries[0].path} is version {binaries[0].version}, and 1.7 is the oldest that will do",
        remedy=_HOW_TO_INSTALL,
    )


def _version(path: Path) -> str:
    try:
        done = subprocess.run(
            [str(path), "version", "-json"],
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return str(json.loads(done.stdout)["terraform_version"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise PreflightError(f"{path} does not tell its version: {error}", remedy=_HOW_TO_INSTALL) from error


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0]))


def child_environment(
    account: Mapping[str, str] | None = None, *, data_dir: Path | None = None
) -> dict[str, str]:
    """The environment of a Terraform process: little of ours, AWS_* and TF_VAR_* of `account`.

    A TF_CLI_CONFIG_FILE that does not exist would put a warning on every command; it is left out.
    """
    variables = {name: value for name, value in os.environ.items() if name in _INHERITED}
    cli_config = os.environ.get("TF_CLI_CONFIG_FILE")
    if cli_config and Path(cli_config).is_file():
        variables["TF_CLI_CONFIG_FILE"] = cli_config
    variables |= {
        name: value for name, value in (account or {}).items() if name.startswith(("AWS_", "TF_VAR_"))
    }
    if data_dir is not None:
        variables["TF_DATA_DIR"] = str(data_dir)
    return variables | _ALWAYS


def data_dir_of(root: Path, private_dir: Path) -> Path:
    """Where Terraform keeps the plugins and modules of one root."""
    return (private_dir / "terraform" / root.name).resolve()


def terraform_environment(root: Path, private_dir: Path) -> dict[str, str]:
    """The environment for commands on one root that reach no account (fmt, validate, test)."""
    return child_environment(data_dir=data_dir_of(root, private_dir))


def install_providers(
    roots: Sequence[Path], private_dir: Path, on_progress: OnProgress = ignore_progress
) -> None:
    """Make every root ready to apply; nothing to do for one that is.

    Raises PreflightError without Terraform, RunError with Terraform's words when the provider cannot be had.
    """
    binary = find_terraform()
    for index, root in enumerate(roots):
        on_progress(Progress(f"provider for {root.name}", index, len(roots), "roots"))
        initialize(binary, root, data_dir_of(root, private_dir))
    on_progress(Progress("providers", len(roots), len(roots), "roots"))


def initialize(binary: Binary, root: Path, data_dir: Path) -> bool:
    """`terraform init`, unless it was done for these very files; returns whether it ran.

    Raises RunError with Terraform's own words.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    marker = data_dir / "initialized"
    with _only_one(data_dir):
        fingerprint = _fingerprint(root)
        if _is_initialized(root, data_dir, marker, fingerprint):
            return False
        marker.unlink(missing_ok=True)
        _run_init(binary, root, data_dir)
        marker.write_text(fingerprint, encoding="utf-8")
        return True


@contextmanager
def _only_one(data_dir: Path) -> Iterator[None]:
    """Two `init` on one folder at once would break it; the second waits."""
    with (data_dir / "init.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fingerprint(root: Path) -> str:
    """Changes with the lock file and with any HCL that the root may reach."""
    digest = hashlib.sha256()
    modules = root.parent / "modules"
    for file in [root / ".terraform.lock.hcl", *sorted(root.glob("*.tf*")), *sorted(modules.rglob("*.tf"))]:
        if file.is_file():
            digest.update(f"{file}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _is_initialized(root: Path, data_dir: Path, marker: Path, fingerprint: str) -> bool:
    if not marker.is_file() or marker.read_text(encoding="utf-8") != fingerprint:
        return False
    version = locked_version(root)
    # A link into a shared folder dangles when that folder is gone.
    return version is None or (data_dir / "providers" / _PROVIDER / version / machine_name()).exists()


def locked_version(root: Path) -> str | None:
    """The AWS provider's version in the root's lock file; None without one."""
    file = root / ".terraform.lock.hcl"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    match = re.search(rf'provider "{re.escape(_PROVIDER)}" \{{\s*version\s*=\s*"([^"]+)"', text)
    return match[1] if match else None


def _run_init(binary: Binary, root: Path, data_dir: Path) -> None:
    arguments = ["init", "-input=false", "-no-color"]
    environment = child_environment(data_dir=data_dir)
    # Not -lockfile=readonly: on a platform whose hash is not locked yet, every later command would fail.
    version = locked_version(root)
    folder = find_plugins(version) if version is not None else None
    if folder is not None:
        arguments.append(f"-plugin-dir={folder}")
    elif "TF_PLUGIN_CACHE_DIR" not in environment:
        # From the registry: downloaded once for all roots (150 MB packed, 700 MB unpacked).
        cache = data_dir.parent / "plugin-cache"
        cache.mkdir(exist_ok=True)
        environment["TF_PLUGIN_CACHE_DIR"] = str(cache)
    try:
        done = subprocess.run(
            [str(binary.path), *arguments],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # a Ctrl-C must not leave half a provider
            check=False,
        )
    except OSError as error:
        raise RunError(f"cannot run {binary.path}: {error}", remedy=_HOW_TO_INSTALL) from error
    if done.returncode != 0:
        raise RunError(
            f"terraform init failed in {root.name}",
            details=done.stdout.strip(),
            remedy=f"Without a way to registry.terraform.io, name a folder that holds {_PROVIDER}"
            f" with {PLUGINS_VARIABLE}=.",
        )


def find_plugins(
    version: str,
    *,
    environment: Mapping[str, str] | None = None,
    shared_folders: Sequence[Path] = _SHARED_FOLDERS,
) -> Path | None:
    """A folder for `-plugin-dir` that holds this version of the provider for this machine.

    None means that Terraform finds it on its own: in a place that its CLI configuration names, in a directory
    that it looks into anyway, or in the registry. Raises PreflightError when the folder that
    LOADBENCH_TERRAFORM_PLUGINS names holds no such provider.
    """
    variables = os.environ if environment is None else environment
    explicit = variables.get(PLUGINS_VARIABLE)
    if explicit:
        if not _holds(Path(explicit), version):
            raise PreflightError(
                f"{PLUGINS_VARIABLE}={explicit} holds no {_PROVIDER} {version} for {machine_name()}",
                remedy="Name a folder made by `terraform providers mirror`, or unset it to use the registry.",
            )
        return Path(explicit).resolve()
    if _is_configured(variables) or any(_holds(folder, version) for folder in _implied_folders(variables)):
        return None
    for shared in shared_folders:
        for folder in sorted(shared.iterdir()) if shared.is_dir() else ():
            if _holds(folder, version):
                return folder
    return None


def _holds(folder: Path, version: str) -> bool:
    """Unpacked or packed, the two layouts that Terraform reads."""
    base = folder / _PROVIDER
    packed = base / f"terraform-provider-aws_{version}_{machine_name()}.zip"
    return (base / version / machine_name()).is_dir() or packed.is_file()


def _is_configured(variables: Mapping[str, str]) -> bool:
    """Whether the user's CLI configuration says where providers come from."""
    file = Path(variables.get("TF_CLI_CONFIG_FILE") or Path(variables.get("HOME", "/")) / ".terraformrc")
    return file.is_file() and "provider_installation" in file.read_text(encoding="utf-8", errors="replace")


def _implied_folders(variables: Mapping[str, str]) -> list[Path]:
    """Where Terraform looks by itself (Terraform documentation: implied local mirror directories)."""
    home = Path(variables.get("HOME", "/"))
    if platform.system() == "Darwin":
        library = "Library/Application Support/io.terraform/plugins"
        return [home / ".terraform.d/plugins", home / library, Path("/") / library]
    data_homes = [variables.get("XDG_DATA_HOME") or str(home / ".local/share")]
    data_homes += (variables.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    return [home / ".terraform.d/plugins", *(Path(data) / "terraform/plugins" for data in data_homes)]


def machine_name() -> str:
    """This machine as Terraform writes it, for example linux_amd64."""
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{platform.system().lower()}_{architecture}"
