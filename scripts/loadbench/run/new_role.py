"""Repeats what is refused because its role was created seconds ago.

IAM is eventually consistent: a service may not be able to assume a new role yet, or may not see its policy
(docs/facts/aws-evidence.md#role-settles). Terraform's AWS provider repeats CreateModel; nothing repeats the
sharding job, or what Cloud Control creates.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TypeVar

from botocore.exceptions import ClientError

from loadbench.errors import RunError

SETTLES_WITHIN_S = 120.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 8.0
_DENIED = r"(?:access ?denied|could not access|not authorized|forbidden)"
_TOO_YOUNG = re.compile(
    r"assume.{0,60}\brole|\brole\b.{0,200}assumed"
    rf"|{_DENIED}.{{0,200}}\b(?:s3|bucket)\b|\b(?:s3|bucket)\b.{{0,200}}{_DENIED}",
    re.IGNORECASE | re.DOTALL,
)
# The caller's own missing permission: that does not go away.
_CALLER = re.compile(r"\bUser: \S+ is not authorized")

Result = TypeVar("Result")


def repeat_for_new_role(
    call: Callable[[], Result],
    say: Callable[[str], None],
    *,
    may_repeat: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """The result of `call`, repeated for two minutes while its role is refused and `may_repeat` allows it.

    `say` gets a line before each pause. Any other error is raised at once.
    """
    started_s, pause_s = clock(), _FIRST_PAUSE_S
    while True:
        try:
            return call()
        except (ClientError, RunError) as error:
            waited_s = clock() - started_s
            if waited_s > SETTLES_WITHIN_S or not may_repeat() or not _is_too_young(error):
                raise
        say(f"waiting until the new role can be used ({waited_s:.0f} s of at most {SETTLES_WITHIN_S:.0f} s)")
        sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def _is_too_young(error: ClientError | RunError) -> bool:
    words = f"{error.message}\n{error.details}" if isinstance(error, RunError) else str(error)
    return bool(_TOO_YOUNG.search(words)) and not _CALLER.search(words)
