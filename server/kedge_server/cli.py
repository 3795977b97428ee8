"""`serve-model`: read the settings, then hand over. gRPC and the runtimes are imported only once they are right."""

import argparse
import os
import sys

from kedge_bundle import __version__
from kedge_server.settings_reading import SettingsInvalid, add_flags, read_settings

USAGE = 2

EXIT_CODES = """exit codes:
  0  stopped by SIGTERM or SIGINT; every request in flight was answered
  1  stopped, but requests in flight were cut: the drain time-out passed, or a second signal came
  2  usage: an unknown or impossible setting
  3  nothing can be served: no repository, none in it, or every bundle is broken
  4  the device that was asked for is not the one in use
  5  an address cannot be listened on: its port is taken, for example
  6  the GPU was lost while serving, and --on-device-error says exit

Each setting can also be given as an environment variable: --grpc-address as KEDGE_GRPC_ADDRESS.
A flag wins over the environment."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop, and return the exit code."""
    _take_standard_streams()
    parser = argparse.ArgumentParser(
        prog="serve-model",
        description="Serve exported bundles over gRPC, with metrics and health over HTTP.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kedge {__version__}")
    add_flags(parser)
    try:
        settings = read_settings(sys.argv[1:] if arguments is None else arguments, os.environ, parser)
    except SettingsInvalid as error:
        print(f"serve-model: {error}", file=sys.stderr)
        return USAGE
    from kedge_server.app import serve  # noqa: PLC0415 (--help and usage errors must not wait for gRPC)

    return serve(settings)


def _take_standard_streams() -> None:
    """Put /dev/null where standard streams are closed: a socket that got their number would be sent logs."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


if __name__ == "__main__":
    sys.exit(main())
