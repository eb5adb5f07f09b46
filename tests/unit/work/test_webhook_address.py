"""Where webhooks may lead: public addresses over TLS, whatever trick an address is written with."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import pytest

from stile.kernel.errors import Invalid
from stile.work import webhook_address
from stile.work.webhook_address import Unresolved, judged, read, refusal

HTTPS = read("https://receiver.example/x", loopback=False)


@pytest.mark.parametrize(
    "url",
    [
        "", "https://", "https:///path", "http://receiver.example/", "ftp://receiver.example/", "file:///etc/passwd",
        "gopher://x/",
        "https://user:secret@receiver.example/", "https://receiver.example@evil.example/", "https://receiver.example/#part",
        "https://receiver.example/ x", "https://receiver.example/\r\nX: y", "https://receiver.example/\x00",
        "https://ä.example/",
        "https://receiver.example:99999/", "https://receiver.example:x/",
        "https://[::1", "https://a\\b/", "//receiver.example/",
        "x" * 3000,
        "https://receiver.example/" + "x" * 3000, "javascript:alert(1)", " https://receiver.example/",
    ],
)  # fmt: skip
def test_an_address_no_webhook_may_have_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as raised:
        read(url, loopback=False)
    assert len(raised.value.message) > 20


def test_an_address_is_taken_apart() -> None:
    place = read("https://Receiver.example:8443/hook?a=b", loopback=False)
    assert (place.host, place.port, place.target, place.authority) == (
        "receiver.example", 8443, "/hook?a=b", "receiver.example:8443",
    )  # fmt: skip
    assert place.at("2001:db8::1") == "https://[2001:db8::1]:8443/hook?a=b"
    assert read("https://[2606:4700::1]/", loopback=False).authority == "[2606:4700::1]"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "::1", "0.0.0.0", "::", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2", "100.64.0.1", "100.100.100.200", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "::7f00:1",
        "2001:db8::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    ],
)  # fmt: skip
def test_addresses_inside_are_refused(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), HTTPS, loopback=False)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::"]
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert refusal(ipaddress.ip_address(address), HTTPS, loopback=False) == ""


def test_this_machine_is_allowed_only_when_the_operator_says_so() -> None:
    plain = read("http://localhost:9/", loopback=True)
    assert refusal(ipaddress.ip_address("127.0.0.1"), plain, loopback=True) == ""
    assert "TLS" in refusal(ipaddress.ip_address("93.184.216.34"), plain, loopback=True)
    assert refusal(ipaddress.ip_address("10.0.0.1"), HTTPS, loopback=True)
    assert refusal(ipaddress.ip_address("169.254.169.254"), plain, loopback=True)


def test_one_address_inside_spoils_all() -> None:
    assert judged(HTTPS, ["1.1.1.1", "1.0.0.1", "1.1.1.1"], loopback=False) == ["1.1.1.1", "1.0.0.1"]
    for found in (["1.1.1.1", "10.0.0.1"], ["fe80::1%eth0"], ["nonsense"]):
        with pytest.raises(Invalid):
            judged(HTTPS, found, loopback=False)


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost", "[::ffff:127.0.0.1]"])
def test_numbers_that_mean_this_machine_are_refused(host: str) -> None:
    with pytest.raises(Invalid):
        asyncio.run(webhook_address.resolve(read(f"https://{host}/", loopback=False), loopback=False))


def test_a_name_without_an_address_may_have_one_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object, **__: object) -> list[object]:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", nothing)
    with pytest.raises(Unresolved):
        asyncio.run(webhook_address.resolve(HTTPS, loopback=False))
