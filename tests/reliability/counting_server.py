"""`serve-model` without Python's collector, and at SIGUSR1 it logs how many objects of its requests' ways are alive.

A server's collector is seldom run: what waits for it is as good as kept.
"""

import asyncio
import gc
import itertools
import json
import signal
import sys
import threading
from collections import Counter


def main() -> int:
    # First of all, so that every thread inherits it, numpy's own too: the signal is only for the one that waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    from kedge_server import cli  # noqa: PLC0415

    threading.Thread(target=tell, daemon=True).start()
    gc.disable()
    return cli.main()


def tell() -> None:
    """Wait for signals for ever, and answer the nth with the event `live_objects_n`."""
    for number in itertools.count(1):
        signal.sigwait({signal.SIGUSR1})
        event = {"event": f"live_objects_{number}", "alive": alive()}
        print(json.dumps(event), file=sys.stderr, flush=True)  # noqa: T201 (to the log)


def alive() -> dict[str, int]:
    """Kind -> objects. What this looks at is let go when it returns."""
    from kedge_server import jobs, pipeline, series, validation  # noqa: PLC0415 (as above)

    kinds = (jobs.Job, pipeline.Call, pipeline.Answer, series.CallRecord, validation.InputReport)
    gc.unfreeze()  # the server lets the collector forget what it has loaded; here everything counts
    objects = gc.get_objects()
    counted = Counter(type(found).__name__ for found in objects if isinstance(found, kinds))
    counted["pending tasks"] = sum(isinstance(found, asyncio.Task) and not found.done() for found in objects)
    return dict(counted)


if __name__ == "__main__":
    sys.exit(main())
