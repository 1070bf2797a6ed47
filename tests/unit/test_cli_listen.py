"""Where the web server listens, and where it refuses to."""

from __future__ import annotations

import socket

import pytest

from cli.stack.listen import listen, refuse_open_network, url_of
from contract.options import SettingsError
from contract.settings import Web


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_word(host):
    refuse_open_network(Web(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "bakery.example"])
def test_any_other_address_needs_trust_network(host):
    with pytest.raises(SettingsError, match="FOURNIL_TRUST_NETWORK=true"):
        refuse_open_network(Web(host=host))

    refuse_open_network(Web(host=host, trust_network=True))


def test_port_0_takes_a_free_port_and_the_url_names_it():
    with listen(Web(port=0)) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert url_of(listener) == f"http://127.0.0.1:{port}"


def test_a_server_on_all_addresses_is_opened_on_loopback():
    with listen(Web(host="0.0.0.0", port=0)) as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")


def test_an_ipv6_address_stands_in_brackets():
    if not socket.has_ipv6:
        pytest.skip("needs IPv6")
    with listen(Web(host="::1", port=0)) as listener:
        assert url_of(listener).startswith("http://[::1]:")


def test_a_taken_port_is_named_with_a_way_out():
    with listen(Web(port=0)) as taken, pytest.raises(SettingsError, match=r"another program has it.*--port"):
        listen(Web(port=taken.getsockname()[1]))


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(SettingsError, match=r"Cannot listen on 203\.0\.113\.7"):
        listen(Web(host="203.0.113.7", port=0))
