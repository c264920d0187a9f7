"""IAM's SimulatePrincipalPolicy: whether the policies of a role or user allow an action on a resource.

Statements with a condition neither allow nor deny, because there is no request context to evaluate.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web

from ..errors import AwsError
from ..protocol.call import Call

_NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"


def simulate(call: Call, backend: Any) -> web.Response | None:
    """The response to SimulatePrincipalPolicy; None for other operations."""
    form = dict(parse_qsl((call.body or b"").decode(errors="replace"), keep_blank_values=True))
    if form.get("Action") != "SimulatePrincipalPolicy":
        return None
    statements = list(_statements(backend, form.get("PolicySourceArn", "")))
    actions = _members(form, "ActionNames")
    if not actions:
        raise AwsError("ValidationError", "ActionNames needs at least one action.")
    resources = _members(form, "ResourceArns") or ["*"]
    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName>"
        f"<EvalResourceName>{escape(resource)}</EvalResourceName>"
        f"<EvalDecision>{_decision(statements, action, resource)}</EvalDecision>"
        "<MatchedStatements/><MissingContextValues/></member>"
        for action in actions
        for resource in resources
    )
    body = (
        f'<SimulatePrincipalPolicyResponse xmlns="{_NAMESPACE}"><SimulatePrincipalPolicyResult>'
        f"<IsTruncated>false</IsTruncated><EvaluationResults>{results}</EvaluationResults>"
        "</SimulatePrincipalPolicyResult></SimulatePrincipalPolicyResponse>"
    )
    return web.Response(text=body, content_type="text/xml")


def _members(form: dict[str, str], name: str) -> list[str]:
    prefix = f"{name}.member."
    found = [key for key in form if key.startswith(prefix) and key.removeprefix(prefix).isdigit()]
    return [form[key] for key in sorted(found, key=lambda key: int(key.removeprefix(prefix)))]


def _statements(backend: Any, arn: str) -> Iterator[dict[str, Any]]:
    """Every statement of a principal's own and attached policies. Raises NoSuchEntity."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    name = name.rpartition("/")[2]
    principals = {"role": backend.roles.values(), "user": backend.users.values()}.get(kind, ())
    found = next((item for item in principals if item.name == name), None)
    if found is None:
        raise AwsError("NoSuchEntity", f"The {kind or 'principal'} with name {name} cannot be found.", 404)
    documents = list(found.policies.values())
    documents += [
        version.document
        for policy in found.managed_policies.values()
        for version in policy.versions
        if version.is_default
    ]
    for document in documents:
        parsed = json.loads(document) if isinstance(document, str) else document
        statements = parsed.get("Statement", [])
        yield from statements if isinstance(statements, list) else [statements]


def _decision(statements: list[dict[str, Any]], action: str, resource: str) -> str:
    effects = {
        statement.get("Effect")
        for statement in statements
        if not statement.get("Condition")
        and _fits(statement, "Action", action.lower(), lower=True)
        and (resource == "*" or _fits(statement, "Resource", resource))
    }
    return "explicitDeny" if "Deny" in effects else "allowed" if "Allow" in effects else "implicitDeny"


def _fits(statement: dict[str, Any], member: str, value: str, *, lower: bool = False) -> bool:
    inverted = f"Not{member}" in statement
    patterns = statement.get(f"Not{member}" if inverted else member, [])
    listed = [patterns] if isinstance(patterns, str) else patterns
    matches = any(fnmatch.fnmatchcase(value, item.lower() if lower else item) for item in listed)
    return matches != inverted
