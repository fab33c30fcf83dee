"""Process-wide settings of boneseg's programs; the only module that changes any.

The programs are the command line with its services, and the processes that boneseg starts. Library
calls leave the process unchanged; to silence libraries, they use `_util/quiet.py`. A test checks
that nothing else in boneseg changes warning filters, log levels, signals, limits, environment
variables or settings of other libraries.
"""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TextIO

_QUOTING = ("pydicom", "highdicom", "pynetdicom")  # their messages quote DICOM elements
# Docstrings of NumPy, and the operators that OpenVINO makes networks of: 17 sets in 2026.4.
_FOR_DEVELOPERS = (
    *("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars"),
    *(f"openvino.opset{number}" for number in range(1, 31)),
)
_SIOCGIFADDR = 0x8915  # from Linux's sockios.h: the address of an interface
# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8


def start() -> None:
    """Set up a process that runs nothing but boneseg: no warnings for users, no telemetry."""
    # Imports make many objects that stay: collecting after every 700 takes a tenth of a cold start.
    gc.set_threshold(10_000)
    # At its end Python looks through all objects for cycles: another tenth. The system frees them.
    atexit.register(gc.freeze)
    # Pillow warns about the size, which boneseg checks itself, and about broken EXIF.
    warnings.filterwarnings("ignore", module=r"(PIL|pydicom|highdicom|pynetdicom)(\.|$)")
    # Recording a CUDA graph leaves gradients on its own stream; replaying synchronises with it.
    warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")
    for name in _QUOTING:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # Typer would fail to print help.
    if not re.fullmatch("[1-9][0-9]{1,2}", os.environ.get("TERMINAL_WIDTH", "")):
        os.environ.pop("TERMINAL_WIDTH", None)
    # Pydantic would search all installed packages for plugins, and run them.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Ray would post statistics of its use.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # PyTorch would log each attempt to reach another process.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    # OpenVINO's model converter, which boneseg does not use, takes half of the import time of
    # OpenVINO and sends telemetry on import.
    for name in ("openvino.tools.ovc", "openvino_telemetry"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def omit_developers_modules() -> None:
    """Let NumPy and OpenVINO import empty modules for what only developers use.

    That is a fifth of their imports, and a twentieth of a cold start. For a process that makes no
    networks.
    """
    for name in _FOR_DEVELOPERS:
        sys.modules.setdefault(name, ModuleType(name))


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next training step instead of returning it.

    A training step frees and reallocates the same hundreds of megabytes, which the kernel would map
    and clear each time: an eighth to a third of the step. Without glibc it does nothing.
    """
    _set_malloc({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1})


def share_freed_memory() -> None:
    """Make glibc keep some of the memory of a film for the next one, whatever thread takes it.

    Otherwise the kernel maps and clears new memory for each film, a twentieth of its time.
    """
    _set_malloc({_M_ARENA_MAX: 1, _M_MMAP_THRESHOLD: 2**25, _M_TRIM_THRESHOLD: 2**27})


class FreedMemory:
    """The memory that glibc keeps of what was freed, in a process that runs for long.

    After a large film that can be hundreds of megabytes, of which a usual film needs none: the
    threshold of glibc holds for the end of its heap only, and small objects lie between large ones.
    """

    def __init__(self, most: int) -> None:
        """`most`: bytes by which the process may grow before freed memory is given back."""
        self._most, self._least = most, 0

    def give_back(self) -> None:
        """Give freed memory back to the system if the process has grown. Elsewhere nothing."""
        now = _memory_of_its_own()
        if now > self._least + self._most:
            with suppress(OSError, AttributeError):
                import ctypes

                ctypes.CDLL("libc.so.6").malloc_trim(0)
            self._least = _memory_of_its_own()
        self._least = min(self._least, now)


def _memory_of_its_own() -> int:
    """Resident bytes of this process, without those that it shares with others; 0 if unknown."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resident, shared = Path("/proc/self/statm").read_text(encoding="ascii").split()[1:3]
        return (int(resident) - int(shared)) * resource.getpagesize()
    return 0


def calculate_in_one_thread() -> None:
    """Let NumPy start no threads: they spin while they wait, and the networks need the cores.

    Has no effect once NumPy is imported, which reads the variable then.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _set_malloc(options: Mapping[int, int]) -> None:
    import ctypes

    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        for option, value in options.items():
            libc.mallopt(option, value)


def train_beside_others(threads: int) -> None:
    """Set up a process that trains beside others, with its share of the threads."""
    import torch

    keep_freed_memory()
    torch.set_num_threads(threads)


def talk_to(host: str) -> None:
    """Let PyTorch's processes talk by the network interface that leads to a host, on Linux.

    They would take that of this machine's name, which is often loopback; and, where all run here,
    often one on which others can listen.
    """
    with suppress(ImportError, OSError):
        import fcntl
        import socket  # slow to import, as tempfile

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # sends nothing
            ours = socket.inet_aton(probe.getsockname()[0])
            for _, name in socket.if_nameindex():
                with suppress(OSError):  # an interface without an address
                    request = name.encode().ljust(40, b"\0")
                    if fcntl.ioctl(probe, _SIOCGIFADDR, request)[20:24] == ours:
                        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def run_on(cores: Set[int]) -> None:
    """Run on these CPU cores only, where the system allows it; empty: on all."""
    if cores and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, cores)


def lower_priority() -> None:
    """Give other processes priority."""
    os.nice(10)


# -- streams and files ----------------------------------------------------------------------------


def open_standard_streams() -> None:
    """Open closed standard streams, so that the next file opened does not take their place."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def escape_output() -> None:
    """Let undecodable file names be printed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def drop_output(stream: TextIO) -> None:
    """Discard what is left for stdout or stderr; otherwise Python fails to write it at exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def make_files_private() -> None:
    """Create files that only this user can read."""
    os.umask(0o077)


# -- signals and threads --------------------------------------------------------------------------


@contextmanager
def stopped_by(*names: str) -> Iterator[None]:
    """Let these signals raise KeyboardInterrupt, as Ctrl-C does, so that results stay intact.

    Signals that are ignored (nohup) stay ignored.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    here = threading.current_thread() is threading.main_thread()
    known = [getattr(signal, name) for name in names if here and hasattr(signal, name)]
    mine = [one for one in known if signal.getsignal(one) == signal.SIG_DFL]
    for one in mine:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one in mine:
            signal.signal(one, signal.SIG_DFL)


def on_termination(act: Callable[[], None]) -> None:
    """Call a function on SIGTERM, and when the terminal is closed, unless nohup ignores that."""
    signal.signal(signal.SIGTERM, lambda *_: act())
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        signal.signal(hangup, lambda *_: signal.raise_signal(signal.SIGTERM))


def ignore_termination() -> None:
    """Ignore SIGTERM, for instance while cleaning up after the first one."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent process."""
    with suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def report_thread_errors(report: Callable[[str], None]) -> None:
    """Report the type of an exception that ends a thread, and no traceback."""
    threading.excepthook = lambda raised: report(f"{raised.exc_type.__name__} in a thread")


# -- limits ---------------------------------------------------------------------------------------


def bound_memory(more: int) -> None:
    """Limit the memory of this process to `more` bytes above its current use, on Linux.

    Allocations beyond it fail: MemoryError in Python, an error or an abort in native code.
    """
    with suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
        limit = pages * resource.getpagesize() + more
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def bound_cpu(more: float) -> None:
    """End this process after `more` further seconds of CPU time, on POSIX."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime + more) + 1
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))


def write_no_core() -> None:
    """Write no core dump, which would contain a film."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_after(seconds: float) -> None:
    """Let the kernel end this process after `seconds`; 0: never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


# -- settings of pynetdicom -----------------------------------------------------------------------


@contextmanager
def received_to_files(folder: Path) -> Iterator[None]:
    """Let pynetdicom write what it receives to files in `folder`, not to memory, until the end."""
    import tempfile

    from pynetdicom import _config, dimse_messages

    names = vars(dimse_messages)
    before = _config.STORE_RECV_CHUNKED_DATASET, names["NamedTemporaryFile"]
    _config.STORE_RECV_CHUNKED_DATASET = True
    names["NamedTemporaryFile"] = partial(tempfile.NamedTemporaryFile, dir=folder)
    try:
        yield
    finally:
        _config.STORE_RECV_CHUNKED_DATASET, names["NamedTemporaryFile"] = before
