"""Requests to this machine go to no proxy, whatever the shell says."""

from __future__ import annotations

import urllib.request

import pytest

from localaws.server.lifecycle import loopback_without_proxy

PROXY = "http://proxy.corp.example:3128"


@pytest.mark.parametrize("proxy", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("no_proxy", [{}, {"NO_PROXY": "169.254.169.254"}, {"no_proxy": " a, .b ,"}])
def test_loopback_is_reached_without_the_proxy_and_what_was_excepted_stays(
    monkeypatch: pytest.MonkeyPatch, proxy: str, no_proxy: dict[str, str]
) -> None:
    given = {proxy: PROXY, **no_proxy}
    found = given | loopback_without_proxy(given)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    kept = [host.strip() for text in no_proxy.values() for host in text.split(",") if host.strip()]
    for host in ("127.0.0.1", "127.0.0.1:40123", "localhost", *kept):
        assert urllib.request.proxy_bypass(host), host
    assert not urllib.request.proxy_bypass("huggingface.co")


def test_a_shell_without_a_proxy_is_left_alone() -> None:
    assert loopback_without_proxy({"HTTP_PROXY": "", "NO_PROXY": "x"}) == {}
    assert loopback_without_proxy({"HTTP_PROXY": PROXY, "NO_PROXY": "*"}) == {}
