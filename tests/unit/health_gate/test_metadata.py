"""The addresses of metadata services."""

from __future__ import annotations

import pytest

from cicd_actions.health_gate.metadata import is_metadata


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd00:ec2::23",
        "fd20:ce::254", "fd00:42::42", "fe80::a9fe:a9fe", "fe80::1%eth0", "::ffff:169.254.169.254", "::ffff:6464:64c8",
        "::169.254.169.254", "64:ff9b::a9fe:a9fe", "::ffff:0:a9fe:a9fe", "2002:a9fe:a9fe::1", "2002:a83f:8110::",
    ],
)  # fmt: skip
def test_is_metadata_in_each_spelling_is_true(address: str) -> None:
    assert is_metadata(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "::1", "10.0.0.1", "169.253.1.1", "168.63.129.17", "100.100.100.201", "2001:db8::1", "fd00::1",
        "fd20:ce:1::5",
        "::ffff:10.0.0.1", "app",
    ],
)  # fmt: skip
def test_is_metadata_of_another_address_is_false(address: str) -> None:
    assert not is_metadata(address)
