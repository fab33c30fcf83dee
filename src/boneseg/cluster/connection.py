"""Connect to a Ray cluster, or start one of this machine's cores.

with connected("local"):
    ray.get(...)
"""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from boneseg.errors import ServiceError, UsageError

WAIT = 5.0  # seconds for an answer at the address
OBJECTS = 200_000_000  # bytes of a local cluster's object store, which holds a model and few rows


@contextmanager
def connected(address: str, cores: int | None = None) -> Iterator[None]:
    """Connect to the cluster at "HOST:PORT", or start a "local" one that ends with the block.

    cores: of a local cluster (default: all). Raises UsageError for an address that is none, and
    ServiceError where no cluster answers, or one of another version.
    """
    if address != "local":
        _check_address(address)
    try:
        if address == "local":
            ray.init(
                "local",
                num_cpus=cores or os.cpu_count(),
                object_store_memory=OBJECTS,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray has no common class for these
        raise ServiceError(f"--cluster {address}: {_reason(error)}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Ask for an answer first: Ray would try for minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?([\w.:%-]+?)\]?:(\d{1,5})", address)
    if not found or not 0 < int(found[2]) < 65536:
        raise UsageError(f"--cluster {address}: is no address; give local or HOST:PORT")
    try:
        socket.create_connection((found[1], int(found[2])), WAIT).close()
    except OSError as error:
        raise ServiceError(
            f"--cluster {address}: no cluster answers ({error.strerror or 'no answer'}); "
            "start one with ray start --head, or check the address"
        ) from None


def _reason(error: Exception) -> str:
    text = str(error)
    if "ersion mismatch" in text:
        return "has another version of Ray or Python; install the same on all machines"
    if "timed out during startup" in text:
        return "Ray did not start in time, on a busy machine perhaps; try again"
    if "authentication" in text.lower() or "token" in text.lower():
        return "refuses this machine's token; copy ~/.ray/auth_token from the head node"
    return f"Ray cannot connect ({type(error).__name__}); check the cluster with ray status"
