import socket

import pytest

from kedge_server.addresses import Address, check_free, parse_address, why_not


@pytest.mark.parametrize("text", ["0.0.0.0:8500", "[::]:8500", "localhost:0", "kedge.example.org:65535"])
def test_an_address_reads_back_as_it_was_written(text: str):
    assert str(parse_address(text)) == text


@pytest.mark.parametrize("text", ["", "8500", ":8500", "host:", "host:65536", "host:-1", "::1:80", "host:8 0", "h:٣"])
def test_anything_else_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match=r"0\.0\.0\.0:8500"):
        parse_address(text)


def test_a_port_that_is_taken_is_told_as_such():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="in use") as caught:
            check_free(Address("127.0.0.1", taken.getsockname()[1]))
        assert why_not(caught.value) == "another process listens there already"


def test_a_host_that_nobody_knows_is_told_as_such():
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the message is the resolver's)
        check_free(Address("no-such-host.invalid", 0))
    assert why_not(caught.value) == "no address is known here for this host name"


def test_a_free_port_stays_free():
    check_free(Address("127.0.0.1", 0))


def test_an_address_of_another_machine_is_told_in_the_systems_words():
    with pytest.raises(OSError) as caught:  # noqa: PT011 (the message is the system's)
        check_free(Address("192.0.2.1", 0))
    assert why_not(caught.value) == "Cannot assign requested address"
