"""Explains failures: a table of patterns with cause and remedy.

The patterns match SageMaker's FailureReason, botocore's errors and the containers' logs
(docs/facts/sagemaker.md#failure-messages). The first match wins, so specific patterns precede general ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from loadbench.errors import LoadbenchError, ServiceError


@dataclass(frozen=True)
class Explanation:
    """A known failure: `name` for records and tests, cause and remedy for users."""

    name: str
    pattern: re.Pattern[str]
    cause: str
    remedy: str


def _known(name: str, pattern: str, cause: str, remedy: str) -> Explanation:
    return Explanation(name, re.compile(pattern, re.IGNORECASE | re.DOTALL), cause, remedy)


EXPLANATIONS: tuple[Explanation, ...] = (
    _known(
        "quota",
        r"for endpoint usage|ResourceLimitExceeded|service limit",
        "The account's quota for this instance type is used up or still zero.",
        "Request a higher quota for '<instance type> for endpoint usage' in Service Quotas (SageMaker),"
        " or remove endpoints of that type.",
    ),
    _known(
        "capacity",
        r"Unable to provision requested (ML )?compute capacity|InsufficientInstanceCapacity"
        r"|InsufficientCapacity|Cannot provide requested instance type|insufficient .{0,40}capacity",
        "AWS has no free capacity for this instance type in the region at the moment; "
        "a quota increase will not help.",
        "Try again later, another instance type, or another region (`region:` in the configuration).",
    ),
    _known(
        "component_resources",
        r"not enough hardware resources on the instances|Insufficient resources on the instances",
        "No instance has the memory or accelerators free that a copy of the inference component reserves.",
        "Lower min_memory_mib (default 1024; a container may use more than it reserves), or take a larger"
        " instance type or more instances.",
    ),
    _known(
        "image",
        r"CannotPullContainer|image .{0,300}(does not exist|not found|is invalid)|manifest .{0,200}not found"
        r"|RepositoryNotFound|ImageNotFound|Requested image .{0,300}not found",
        "The container image does not exist in this region's registry, or there is no permission to pull it.",
        "Check image_uri: the tag, and that the account publishes in the region"
        " (763104351884 serves most regions; some have a separate account).",
    ),
    _known(
        "cloud_control",
        r"UnsupportedActionException|unsupported by CCAPI|does not support CREATE action",
        "Cloud Control does not create endpoint configurations in this region yet; an endpoint of inference"
        " components needs one without a model.",
        "Use version 6.21 or newer of Terraform's AWS provider, which creates it itself"
        " (docs/troubleshooting.md#another-version-of-the-aws-provider), or another region.",
    ),
    _known(
        "gated_model",
        r"gated repo|GatedRepoError|restricted and you are not in the authorized list"
        r"|Access to model .{0,200} is restricted|401 Client Error.{0,200}huggingface"
        r"|HUGGING_FACE_HUB_TOKEN not found",
        "The model is gated on the Hugging Face Hub and there was no token with access to it.",
        "Accept the model's licence, put HUGGING_FACE_HUB_TOKEN into .env and set use_hf_token: yes.",
    ),
    _known(
        "image_without_fast_loader",
        r"fast[_ ]model[_ ]loader.{0,200}(not (available|supported|installed)|no module|does not)"
        r"|(no|without).{0,40}fast (model )?loader|No module named .{0,20}fast_model_loader"
        r"|sagemaker_fast_model_loader.{0,100}(invalid|not a valid|not one of|unknown)",
        "The image has no fast loader: only the lmi-dist engine of LMI v13 and v14 has it.",
        "Use an image tag 0.31.0-lmi13… or 0.32.0-lmi14… for the fast path.",
    ),
    _known(
        "download_timeout",
        r"model (data|artifacts?) download.{0,400}(did not finish|timed? ?out|exceed)"
        r"|ModelDataDownloadTimeout",
        "Downloading the model to the instance took longer than allowed.",
        "Use an instance type with more network bandwidth or a smaller model; keep the bucket in the region.",
    ),
    _known(
        "clock_skew",
        r"RequestTimeTooSkewed|RequestExpired|Signature expired|Signature not yet current"
        r"|difference between the request time and the",
        "The clock of this machine is wrong by minutes, so AWS rejects its signatures.",
        "Set the clock (`timedatectl set-ntp true` or `chronyc makestep`) and run again.",
    ),
    _known(
        "archived_object",
        r"InvalidObjectState|not valid for the object's (storage class|access tier)"
        r"|storage class.{0,40}(GLACIER|DEEP_ARCHIVE)",
        "An object of the model is archived in S3 Glacier and cannot be read.",
        "Run again: archived objects are uploaded again. Exclude models/ and optimized/ from lifecycle"
        " rules that"
        " archive objects.",
    ),
    _known(
        "access_denied",
        r"AccessDenied|Access Denied|is not authorized to perform|Could not access|Access denied to S3 bucket"
        r"|403.{0,20}Forbidden|no identity-based policy allows",
        "The role or the caller lacks a permission: check role policy, bucket policy and KMS key.",
        "Grant the execution role s3:GetObject and s3:ListBucket on the bucket (and kms:Decrypt if a key"
        " encrypts it), or leave sagemaker_exec_role empty: then a role is created. If the message names an"
        " action and the caller, allow that action: docs/iam-policy.json lists those that are known.",
    ),
    _known(
        "corrupt_weights",
        r"checksum|corrupt|SafetensorError|header too large|MetadataIncompleteBuffer|invalid load key"
        r"|not a safetensors file",
        "The weights are corrupt: they differ from the weights that were written.",
        "Run again; if the failure persists, delete the model's prefix under models/ or optimized/ in"
        " the bucket"
        " so that it is written again.",
    ),
    _known(
        "fastload",
        r"fastload\.errors\.\w+: ",
        "The engine's plug-in could not load the weights.",
        "The line of fastload in the container's log names the object and the reason; check the location, the"
        " role's policy, and that the upload is complete.",
    ),
    _known(
        "model_data",
        r"Failed to download model data|Could not find model data",
        "SageMaker could not download the model: there is no object, or the role may not read it.",
        "Check that the prefix contains the model (aws s3 ls) and that the role may read it, then run again.",
    ),
    _known(
        "assume_role",
        r"could not assume role|assume role .{0,200}(fail|denied|not)|role .{0,200}trust relationship"
        r"|not authorized to assume",
        "SageMaker may not assume the role, or the role was created seconds ago.",
        "The role must trust sagemaker.amazonaws.com; if it is new, wait a minute.",
    ),
    _known(
        "out_of_memory",
        r"CUDA out of memory|OutOfMemoryError|No available memory for the cache blocks|\bOOM\b|oom-kill"
        r"|larger than the maximum number of tokens that can be stored in KV cache|Cannot allocate memory",
        "The model and its KV cache ran out of memory.",
        "Choose a larger instance type, a lower OPTION_MAX_MODEL_LEN or OPTION_MAX_ROLLING_BATCH_SIZE,"
        " or more accelerators by OPTION_TENSOR_PARALLEL_DEGREE.",
    ),
    _known(
        "process_died",
        r"(worker|container|process|server).{0,160}(died|exited|crashed|terminated|was killed by signal)"
        r"|(exited|ended) with status|exit code",
        "The container's process ended unexpectedly.",
        "Read the container's last lines; signal 9 often means out of memory.",
    ),
    _known(
        "health_check",
        r"did not pass the ping health check|health check timeout|failed to pass the health check",
        "The container did not answer /ping in time: it was still loading, or it hung.",
        "Read the container's last lines; if it was still loading, raise"
        " container_startup_health_check_timeout.",
    ),
    _known(
        "throttling",
        r"Throttl|Rate exceeded|TooManyRequests|SlowDown|RequestLimitExceeded",
        "The service throttled the calls.",
        "Wait a minute and run again; other tools may be calling the same account.",
    ),
    _known(
        "credentials",
        r"ExpiredToken|security token .{0,60}(expired|invalid)|InvalidClientTokenId|UnrecognizedClient"
        r"|Unable to locate credentials|SignatureDoesNotMatch",
        "The AWS credentials are missing, wrong or expired.",
        "Sign in again (aws sso login, or new keys) and check with: aws sts get-caller-identity.",
    ),
    _known(
        "unreachable",
        r"Could not connect to the endpoint URL|Connection refused|EndpointConnectionError"
        r"|Name or service not known",
        "The service could not be reached.",
        "Check the network and the region's name; for the embedded target: loadbench local status.",
    ),
)

# The service knows only that the container did not start or ended; the container's log says why.
_SAYS_LITTLE = ("process_died", "health_check")


def explain(text: str) -> Explanation | None:
    """The first known failure whose pattern matches `text`."""
    return next((known for known in EXPLANATIONS if known.pattern.search(text)), None)


def explained(error: LoadbenchError, log_lines: Iterable[str] = ()) -> LoadbenchError:
    """`error` with the cause appended to its message, a remedy, and the relevant lines of the container's
    log.

    The service's message is matched first; if it says only that a container did not start, the container's
    log is matched. Unknown errors keep their message and get the log lines, and so do this tool's own errors,
    whose remedy is more specific.
    """
    lines = list(log_lines)
    telling = telling_lines(lines)
    known = None
    if isinstance(error, ServiceError) or not error.remedy:  # others have their own remedy
        known = explain(f"{error.message}\n{error.details}")
        if known is None or known.name in _SAYS_LITTLE:
            known = explain("\n".join(telling)) or known
    if known and known.cause not in error.message:
        error.message = f"{error.message}\n{known.cause}"
        error.remedy = known.remedy
    if telling:
        error.details = "\n".join([*error.details.splitlines(), *telling])
    error.args = (error.message,)
    return error


_TROUBLE = re.compile(
    r"error|exception|traceback|fatal|fail|killed|denied|refused|timed? ?out|memory", re.IGNORECASE
)


_EXCEPTION = re.compile(r"(?:^|\s)[\w.]*(?:Error|Exception): \S")
# vLLM's server ends with a traceback of its own after that of the process that failed.
_REFERS_TO_EARLIER = "See root cause above"


def telling_lines(lines: list[str]) -> list[str]:
    """The last lines that report an error, with the one they refer to; the last lines of the log if there are
    none.
    """
    trouble = [line for line in lines if _TROUBLE.search(line)]
    last = (trouble or lines)[-3:]
    cause = _root_cause(lines)
    return last if cause is None or cause in last else [cause, *last[-2:]]


def _root_cause(lines: list[str]) -> str | None:
    """The exception that the log's last reference to an earlier error means."""
    referring = [number for number, line in enumerate(lines) if _REFERS_TO_EARLIER in line]
    earlier = lines[: referring[-1]] if referring else []
    causes = (line for line in reversed(earlier) if _EXCEPTION.search(line))
    return next((line for line in causes if _REFERS_TO_EARLIER not in line), None)
