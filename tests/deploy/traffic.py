"""Requests to a real server: ordinary ones, and every kind that the dashboard has a panel for."""

import time

import numpy as np
import pytest

from kedge_server.client import PROTOCOLS, Client, ClientError

ROUND_S = 0.5


def send(address: str, rounds: int) -> None:
    """Send `rounds` rounds, two a second, so that a scrape each second sees every counter rise.

    `two_output` gets ordinary requests only; `square_root` gets everything.
    """
    with Client(address, PROTOCOLS[0]) as first, Client(address, PROTOCOLS[1]) as second:
        for _ in range(rounds):
            for client in (first, second):
                _send_ordinary(client)
                _send_unusual(client)
                _send_refused(client)
            time.sleep(ROUND_S)


def _send_ordinary(client: Client) -> None:
    rows = np.ones((3, 3), np.float32)
    client.predict("two_output", {"a": rows, "b": rows})
    client.predict("square_root", {"x": np.array([[9.0, 10.0]], np.float32)})


def _send_unusual(client: Client) -> None:
    # Below and above what training saw; the square root of a negative number is NaN, that of infinity is none.
    answer = client.predict("square_root", {"x": np.array([[-4.0, 10.0], [10.0, 1000.0]], np.float32)})
    assert np.isnan(answer["y"]).sum() == 1


def _send_refused(client: Client) -> None:
    refused = (
        ("square_root", np.array([[np.nan, 10.0]], np.float32), "INVALID_ARGUMENT"),
        ("square_root", np.ones((1, 5), np.float32), "INVALID_ARGUMENT"),
        ("no_such_model", np.ones((1, 2), np.float32), "NOT_FOUND"),
    )
    for model, values, code in refused:
        with pytest.raises(ClientError) as raised:
            client.predict(model, {"x": values})
        assert raised.value.code == code, raised.value
