"""Terraform's binary, its provider, and the initialization of a root module."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadbench.errors import PreflightError, RunError
from loadbench.file_lock import locked
from loadbench.progress import OnProgress, Progress, ignore_progress
from loadbench.scratch import scratch_folder
from loadbench.workspace import Workspace

BINARY_VARIABLE = "LOADBENCH_TERRAFORM"
PLUGINS_VARIABLE = "LOADBENCH_TERRAFORM_PLUGINS"
LOCK_FILE = ".terraform.lock.hcl"

# The first versions with mock_provider, which the tests of the modules need.
_MINIMUM_VERSIONS = {"Terraform": (1, 7), "OpenTofu": (1, 8)}
_REGISTRIES = {"Terraform": "registry.terraform.io", "OpenTofu": "registry.opentofu.org"}
_HOW_TO_INSTALL = (
    "Run `loadbench setup --yes` to download it for this folder; or install Terraform 1.7 or newer from"
    " https://developer.hashicorp.com/terraform/install, or OpenTofu 1.8 or newer, or name one with"
    f" {BINARY_VARIABLE}=."
)
_PROVIDER_NAME = "hashicorp/aws"
_POLL_S = 0.5
_SHARED_FOLDERS = (Path("/opt"), Path("/srv"), Path("/usr/local/share"))
# Variables that Terraform inherits. Omitted on purpose: TF_LOG writes tokens, TF_CLI_ARGS changes commands,
# TF_WORKSPACE and TF_DATA_DIR select another state.
_INHERITED = {
    *("PATH", "HOME", "USER", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "TF_PLUGIN_CACHE_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("XDG_DATA_HOME", "XDG_DATA_DIRS", "XDG_CONFIG_HOME"),
}

_ALWAYS = {
    "CHECKPOINT_DISABLE": "1",
    "TF_IN_AUTOMATION": "1",
    # Terraform and the provider exchange a large schema and end soon. Garbage collection takes a quarter of a
    # command's CPU time (`validate`: 2.7 s against 2.0 s), so it is replaced by a memory limit.
    "GOGC": "off",
    "GOMEMLIMIT": "1GiB",
}


@dataclass(frozen=True)
class Binary:
    """A Terraform or an OpenTofu."""

    path: Path
    version: str
    product: str = "Terraform"

    @property
    def is_opentofu(self) -> bool:
        """Whether it is OpenTofu, whatever its file name."""
        return self.product == "OpenTofu"

    @property
    def registry(self) -> str:
        """The host of its provider registry, the first part of provider addresses."""
        return _REGISTRIES[self.product]

    def is_at_least(self, *numbers: int) -> bool:
        """Whether its version is at least `numbers`."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version.partition("-")[0])) >= numbers


def find_terraform(environment: Mapping[str, str] | None = None, private_dir: Path | None = None) -> Binary:
    """The binary named by LOADBENCH_TERRAFORM, else the first of these that is new enough: `terraform` on the
    PATH, the one that `loadbench setup` downloaded to `private_dir` (default: the current folder's), `tofu`.

    Raises PreflightError if there is none, or none that is new enough.
    """
    variables = os.environ if environment is None else environment
    explicit = variables.get(BINARY_VARIABLE)
    fetched = fetched_terraform(private_dir or Workspace.here().private_dir)
    terraform, tofu = (shutil.which(name, path=variables.get("PATH")) for name in ("terraform", "tofu"))
    candidates: list[str | Path | None] = [terraform, fetched, tofu]
    if explicit:
        candidates = [shutil.which(explicit, path=variables.get("PATH"))]
    binaries = [_identify(Path(path)) for path in candidates if path]
    for binary in binaries:
        if binary.is_at_least(*_MINIMUM_VERSIONS[binary.product]):
            return binary
    if not binaries:
        what = f"{BINARY_VARIABLE}={explicit}" if explicit else "terraform"
        raise PreflightError(f"{what} was not found", remedy=_HOW_TO_INSTALL)
    old = binaries[0]
    oldest = ".".join(map(str, _MINIMUM_VERSIONS[old.product]))
    raise PreflightError(
        f"{old.path} is version {old.version}, but {old.product} {oldest} or newer is needed",
        remedy=_HOW_TO_INSTALL,
    )


def fetched_terraform(private_dir: Path) -> Path | None:
    """The newest Terraform that was downloaded to `private_dir`, None if there is none."""
    files = sorted(
        tools_dir(private_dir).glob("terraform-*/terraform"), key=lambda file: file.stat().st_mtime
    )
    return files[-1].resolve() if files else None


def tools_dir(private_dir: Path) -> Path:
    """The folder of programs that were downloaded for this folder."""
    return private_dir / "tools"


def _identify(path: Path) -> Binary:
    try:
        done = subprocess.run(
            [str(path), "version"],  # with -json OpenTofu reports itself as Terraform
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        if isinstance(error, subprocess.CalledProcessError) and error.returncode < 0:  # nothing wrong with it
            raise RunError(
                f"{path} version check failed: killed by signal {-error.returncode}",
                remedy="Run again. If nobody killed it on purpose, the machine may be out of memory.",
            ) from error
        raise PreflightError(f"{path} version check failed: {error}", remedy=_HOW_TO_INSTALL) from error
    match = re.search(r"^(Terraform|OpenTofu) v(\d\S*)", done.stdout, re.MULTILINE)
    if match is None:
        raise PreflightError(
            f"{path} version check failed: it printed {done.stdout[:80]!r}", remedy=_HOW_TO_INSTALL
        )
    return Binary(path, match[2], match[1])


def child_environment(
    account: Mapping[str, str] | None = None, *, data_dir: Path | None = None
) -> dict[str, str]:
    """The environment of a Terraform process: a few inherited variables, AWS_* and TF_VAR_* of `account`.

    A TF_CLI_CONFIG_FILE that does not exist is omitted: it would cause a warning with every command.
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
    """Terraform's folder for the plugins and modules of one root module."""
    return (private_dir / "terraform" / root.name).resolve()


def plugin_cache(private_dir: Path) -> Path:
    """Cache of providers from the registry: downloaded once (150 MB packed, 700 MB unpacked)."""
    return (private_dir / "terraform" / "plugin-cache").resolve()


def terraform_environment(root: Path, private_dir: Path) -> dict[str, str]:
    """The environment for commands that need no account (fmt, validate, test)."""
    return child_environment(data_dir=data_dir_of(root, private_dir))


def initialize(
    binary: Binary,
    root: Path,
    data_dir: Path,
    *,
    account: Mapping[str, str] | None = None,
    cache_dir: Path,
    on_progress: OnProgress = ignore_progress,
) -> bool:
    """`terraform init`, unless it was already done for exactly these files; returns whether it ran.

    `account` has the AWS_* variables that a backend in S3 needs; `cache_dir` is the cache of providers.
    Raises RunError with Terraform's error.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    marker = data_dir / "initialized"
    with locked(data_dir / "init.lock"):  # concurrent runs would corrupt the folder
        if _is_initialized(binary, root, data_dir, marker):
            return False
        marker.unlink(missing_ok=True)
        environment = child_environment(account, data_dir=data_dir)
        environment.setdefault("TF_PLUGIN_CACHE_DIR", str(cache_dir))
        _run_init(binary, root, data_dir, environment, on_progress)
        # After `init`, which adds this platform's hash to the lock file if it is missing.
        marker.write_text(_fingerprint(root), encoding="utf-8")
        return True


def _fingerprint(root: Path) -> str:
    """A digest of the lock file and all HCL files that `init` reads."""
    digest = hashlib.sha256()
    patterns = ("*.tf*", "modules/**/*.tf", "tests/*.tf*")
    for file in [root / LOCK_FILE, *(file for pattern in patterns for file in sorted(root.glob(pattern)))]:
        if file.is_file():
            digest.update(f"{file}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _is_initialized(binary: Binary, root: Path, data_dir: Path, marker: Path) -> bool:
    if not marker.is_file() or marker.read_text(encoding="utf-8") != _fingerprint(root):
        return False
    version = locked_version(root)
    # A link into a shared folder is broken if that folder was deleted.
    provider = data_dir / "providers" / binary.registry / _PROVIDER_NAME
    return version is None or (provider / version / machine_name()).exists()


def locked_version(root: Path) -> str | None:
    """The AWS provider's version in the root's lock file; None without one."""
    file = root / LOCK_FILE
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    match = re.search(rf'provider "[^"]+/{_PROVIDER_NAME}" \{{\s*version\s*=\s*"([^"]+)"', text)
    return match[1] if match else None


def _run_init(
    binary: Binary, root: Path, data_dir: Path, environment: dict[str, str], on_progress: OnProgress
) -> None:
    arguments = ["init", "-input=false", "-no-color"]
    # Not -lockfile=readonly: on a platform whose hash is not locked yet, every later command would fail.
    version = locked_version(root)
    folder = find_plugins(version, registry=binary.registry) if version is not None else None
    if folder is not None:
        arguments.append(f"-plugin-dir={folder}")
        del environment["TF_PLUGIN_CACHE_DIR"]  # a link is enough
    else:
        Path(environment["TF_PLUGIN_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
    with scratch_folder(data_dir) as scratch:
        environment["TMPDIR"] = str(scratch)  # a download is written there, so its size can be measured
        try:
            process = subprocess.Popen(
                [str(binary.path), *arguments],
                cwd=root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise RunError(f"cannot run {binary.path}: {error}", remedy=_HOW_TO_INSTALL) from error
        words = _wait(process, Path(scratch), on_progress)
    if process.returncode != 0:
        raise RunError(
            "terraform init failed",
            details=words,
            remedy=f"Without access to {binary.registry}, name a folder that contains"
            f" {binary.registry}/{_PROVIDER_NAME} with {PLUGINS_VARIABLE}=.",
        )


def _wait(process: subprocess.Popen[str], downloads: Path, on_progress: OnProgress) -> str:
    """Wait for the process and return its output; meanwhile report how much has been downloaded."""
    try:
        while True:
            try:
                return process.communicate(timeout=_POLL_S)[0].strip()
            except subprocess.TimeoutExpired:
                size_bytes = sum(file.stat().st_size for file in downloads.rglob("*") if file.is_file())
                on_progress(Progress("provider", size_bytes, unit="bytes" if size_bytes else ""))
    finally:
        process.kill()  # only if interrupted: a partial provider does not match its hash next time
        process.wait()


def find_plugins(
    version: str,
    *,
    registry: str = _REGISTRIES["Terraform"],
    environment: Mapping[str, str] | None = None,
    shared_folders: Sequence[Path] = _SHARED_FOLDERS,
) -> Path | None:
    """A folder for `-plugin-dir` with this version of the provider for this machine.

    None means that Terraform finds it itself: through its CLI configuration, in a default directory, or in
    the registry. Raises PreflightError if the folder in LOADBENCH_TERRAFORM_PLUGINS does not have the
    provider.
    """
    variables = os.environ if environment is None else environment
    explicit = variables.get(PLUGINS_VARIABLE)
    provider = f"{registry}/{_PROVIDER_NAME}"
    if explicit:
        if not _holds(Path(explicit), provider, version):
            raise PreflightError(
                f"{PLUGINS_VARIABLE}={explicit} has no {provider} {version} for {machine_name()}",
                remedy="Name a folder created by `terraform providers mirror`, or unset it to use the"
                " registry.",
            )
        return Path(explicit).resolve()
    implied = _implied_folders(variables)
    if _is_configured(variables) or any(_holds(folder, provider, version) for folder in implied):
        return None
    for shared in shared_folders:
        for folder in sorted(shared.iterdir()) if shared.is_dir() else ():
            if _holds(folder, provider, version):
                return folder
    return None


def _holds(folder: Path, provider: str, version: str) -> bool:
    """The unpacked and the packed layout, both of which Terraform reads."""
    base = folder / provider
    packed = base / f"terraform-provider-aws_{version}_{machine_name()}.zip"
    return (base / version / machine_name()).is_dir() or packed.is_file()


def _is_configured(variables: Mapping[str, str]) -> bool:
    """Whether the user's CLI configuration sets the source of providers."""
    file = Path(variables.get("TF_CLI_CONFIG_FILE") or Path(variables.get("HOME", "/")) / ".terraformrc")
    return file.is_file() and "provider_installation" in file.read_text(encoding="utf-8", errors="replace")


def _implied_folders(variables: Mapping[str, str]) -> list[Path]:
    """Terraform's default directories (Terraform documentation: implied local mirror directories)."""
    home = Path(variables.get("HOME", "/"))
    if platform.system() == "Darwin":
        library = "Library/Application Support/io.terraform/plugins"
        return [home / ".terraform.d/plugins", home / library, Path("/") / library]
    data_homes = [variables.get("XDG_DATA_HOME") or str(home / ".local/share")]
    data_homes += (variables.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share").split(":")
    return [home / ".terraform.d/plugins", *(Path(data) / "terraform/plugins" for data in data_homes)]


def machine_name() -> str:
    """Terraform's name of this platform, for example linux_amd64."""
    machine = platform.machine().lower()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"{platform.system().lower()}_{architecture}"
