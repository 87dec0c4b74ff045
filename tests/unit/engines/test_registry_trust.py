from __future__ import annotations

import pytest

from cicd_actions.engines.registry_trust import loopback, may_get_login


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("registry-1.docker.io", "auth.docker.io"),
        ("ghcr.io", "ghcr.io"),
        ("registry.gitlab.com", "gitlab.com"),
        ("registry.example.co.uk", "auth.example.co.uk"),
        ("REGISTRY.example.com.", "auth.Example.com"),
        ("registry.redhat.io", "sso.redhat.com"),
        ("registry.cn-hangzhou.aliyuncs.com", "dockerauth.cn-hangzhou.aliyuncs.com"),
        ("shop.azurecr.io", "shop.azurecr.io"),
        ("127.0.0.1", "localhost"),
        ("[::1]", "[::1]"),
        ("registry", "registry"),
    ],
)
def test_may_get_login_of_the_same_domain_is_true(registry: str, host: str) -> None:
    assert may_get_login(registry, host)


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("registry.example.com", "example.org"),
        ("registry.example.com", "registry.example.com.evil.net"),
        ("registry.example.com", "evilexample.com"),
        ("registry.example.co.uk", "evil.co.uk"),
        ("example.co.uk", "co.uk"),
        ("shop.azurecr.io", "evil.azurecr.io"),
        ("us-docker.pkg.dev", "evil.pkg.dev"),
        ("1.dkr.ecr.eu-west-1.amazonaws.com", "evil.s3.amazonaws.com"),
        ("registry.cn-hangzhou.aliyuncs.com", "dockerauth.evil.aliyuncs.com"),
        ("10.0.0.7", "11.0.0.7"),
        ("127.0.0.1", "127.0.0.2"),
        ("registry", "evil"),
        ("registry.com", "com"),
        ("registry.example.com", ""),
        (".example.com", "evil..example.com"),
    ],
)
def test_may_get_login_of_another_domain_is_false(registry: str, host: str) -> None:
    assert not may_get_login(registry, host)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.9", True), ("::1", True), ("[::1]", True), ("10.0.0.1", False), ("", False)],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    assert loopback(host) is expected
