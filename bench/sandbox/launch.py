"""Sandbox of a worker process: resource limits, no network, no file written, no program started.

Run as ``python -m bench.sandbox.launch LIMITS MODULE``, where LIMITS is the JSON of a `SandboxLimits`. The
restrictions must come before any library starts a thread, so this module imports the standard library only.
What the system cannot enforce is named in the variable `LACKING`. Where network or files stay open, the
module is not run, unless the variable `UNCONFINED` allows it.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import runpy
import signal
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

LACKING = "BENCH_LACKING"
"""Environment variable that lists for a sandboxed process, as JSON, what could not be enforced."""

UNCONFINED = "BENCH_UNCONFINED"
"""Environment variable that allows strangers' files to be read without a sandbox; set by `--unconfined`."""
UNCONFINED_EXIT = 77
"""Exit status of a worker that was not started because the sandbox is incomplete."""

KEPT_VARIABLES = (
    "PATH",
    "PYTHON",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_",
    "TZ",
    "TMPDIR",
    "OMP_",
    "OPENBLAS_",
    "MKL_",
)
KEPT_FOR_GPUS = ("CUDA_", "NVIDIA_", "HOME", "USER", "XDG_CACHE_HOME")
"""Beginnings of variables that the driver of a GPU and its compilers need besides."""
SYSTEM_FOLDERS = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/nix/store")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_NEW_USER, _NEW_NET, _NEW_IPC = 0x10000000, 0x40000000, 0x08000000
_SET_PARENT_DEATH_SIGNAL, _SET_NO_NEW_PRIVILEGES = 1, 38
# Landlock: system calls (the same number on every processor), access rights, and the first version of each.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE = 1 << 0, 1 << 1, 1 << 2
_WRITES = sum(1 << bit for bit in range(4, 13))  # make, remove, link: every change of a folder
_FILES_AND_FOLDERS = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8  # remove folder and file, make folder and file
_REFER, _TRUNCATE = 1 << 13, 1 << 14  # versions 2 and 3
_GPU_NEEDS = "the driver of a GPU needs more"
_BIND_AND_CONNECT = 0b11  # TCP, version 4
_SOCKETS_AND_SIGNALS = 0b11  # to processes outside, version 6


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """Limits of a worker.

    Attributes:
        memory_mb: Address space; None for no limit.
        cpu_s: Seconds of processor time, all threads together; None for no limit.
        file_mb: Largest file it may write, its log included.
        processes: Processes and threads, where the system counts them for it alone.
        open_files: Files that it may hold open at a time.
        readable: Files it may read beside Python's and the system's; None to leave files and programs as they
            are, as the driver of a GPU needs (`for_gpu`).
        writable: Folder in which it may make and change files and folders, but no links; empty for none.
    """

    memory_mb: int | None = None
    cpu_s: int | None = None
    file_mb: int = 16
    processes: int = 512
    open_files: int = 512
    readable: tuple[str, ...] | None = ()
    writable: str = ""

    @classmethod
    def for_gpu(cls, cpu_s: int | None = None) -> SandboxLimits:
        """Return the limits of a process that computes on an NVIDIA GPU, which needs more than others.

        - Files and programs as they are. The driver opens the devices for reading and writing, names its
          threads by writing to ``/proc/self/task/*/comm`` (refused, `cuInit` fails with error 304) and caches
          compiled kernels in the home folder; PyTorch compiles with the system's compiler.
        - Address space without a limit: the driver reserves far more than there is memory.
        - Files of 4 GiB: compiled kernels and files in memory (`memfd_create`) count as files.
        - 4,096 open files, processes and threads: the driver opens the devices many times over, and
          compilers run on all cores.
        """
        return cls(cpu_s=cpu_s, file_mb=4096, processes=4096, open_files=4096, readable=None)

    def command(self, module: str) -> list[str]:
        """Return the command that runs a module in this sandbox."""
        return [sys.executable, "-P", "-m", __name__, json.dumps(asdict(self)), module]


def minimal_environment(*, on_gpu: bool = False) -> dict[str, str]:
    """Return the environment of a sandboxed process: what Python needs, no token and no path of the data."""
    kept = (*KEPT_VARIABLES, *(KEPT_FOR_GPUS if on_gpu else ()), UNCONFINED)
    return {name: value for name, value in os.environ.items() if name.startswith(kept)}


def lacking_here() -> list[str]:
    """Return what the sandbox of this process lacks, each with the reason; empty where it is whole."""
    stored = json.loads(os.environ.get(LACKING, "[]"))
    return [str(item) for item in stored]


def enter_sandbox(limits: SandboxLimits, module: str) -> list[str]:
    """Restrict this process for the rest of its life.

    Returns:
        What could not be enforced here, each with the reason.
    """
    lacking: list[str] = []
    own_user = _namespaces(lacking)
    _resource_limits(limits, own_user, lacking)
    _end_with_parent()
    _no_new_privileges()
    if limits.readable is None:
        lacking.append(f"files read-only, no programs: {_GPU_NEEDS}")
    else:
        _files_and_programs(_readable(limits.readable, module), limits.writable, lacking)
    return lacking


def _system() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if platform.system() == "Linux" else None


def _reason() -> str:
    return os.strerror(ctypes.get_errno())


def _namespaces(lacking: list[str]) -> bool:
    """A network of its own, with nothing in it; True where the process is the only one of its user too."""
    system = _system()
    if system is None:
        lacking.append(f"no network: {platform.system()} has no network namespaces")
        return False
    user, group = os.getuid(), os.getgid()
    if system.unshare(_NEW_USER | _NEW_NET | _NEW_IPC) == 0:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with suppress(OSError):  # without a map it runs as nobody, which does as well
                Path("/proc/self", name).write_text(text)
        return True
    if system.unshare(_NEW_NET | _NEW_IPC) != 0:  # an administrator needs no user namespace for it
        reason = _reason()
        if not _no_sockets(system):
            lacking.append(
                f"no network: neither a network namespace nor seccomp is permitted here ({reason})"
            )
    return False


_SET_SECCOMP, _FILTER = 22, 2
_SOCKET_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Processor → its number in the kernel's audit, and the number of the system call `socket`."""
_IO_URING_SETUP = 425


def _no_sockets(system: ctypes.CDLL) -> bool:
    """Forbid new sockets by a seccomp filter, where namespaces are not permitted, as in many containers."""
    if platform.machine() not in _SOCKET_CALLS:
        return False
    architecture, socket = _SOCKET_CALLS[platform.machine()]
    load, equal, greater, give = 0x20, 0x15, 0x35, 0x06
    allow, refuse, kill = 0x7FFF0000, 0x00050001, 0x80000000  # refuse: EPERM
    program = (
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, architecture),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # the number of the call
        (greater, 3, 0, 0x40000000),  # another calling convention of x86-64
        (equal, 2, 0, socket),
        (equal, 1, 0, _IO_URING_SETUP),
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    )
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(buffer)))
    _no_new_privileges()
    return bool(system.prctl(_SET_SECCOMP, _FILTER, header, 0, 0) == 0)


def _resource_limits(limits: SandboxLimits, own_user: bool, lacking: list[str]) -> None:
    try:
        import resource
    except ImportError:
        lacking.append(f"memory, CPU time and file size: {platform.system()} has no resource limits")
        return
    wanted = [
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", limits.file_mb * 2**20),
        ("RLIMIT_NOFILE", limits.open_files),
    ]
    if limits.memory_mb is not None:
        wanted.append(("RLIMIT_AS", limits.memory_mb * 2**20))
    if limits.cpu_s is not None:
        wanted.append(("RLIMIT_CPU", limits.cpu_s))
    if own_user and os.getuid() != 0:  # otherwise all of the user's processes would count, or none would
        wanted.append(("RLIMIT_NPROC", limits.processes))
    else:
        lacking.append("number of processes: it cannot be limited for this user alone")
    for name, most in wanted:
        try:
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            # The hard limit lies a little higher: SIGXCPU says why a process ended, SIGKILL does not.
            high = most + 1 if hard == resource.RLIM_INFINITY else min(most + 1, hard)
            resource.setrlimit(kind, (min(most, high), high))
        except (AttributeError, OSError, ValueError) as error:
            lacking.append(f"{name}: {error}")


def _no_new_privileges() -> None:
    if system := _system():
        system.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _end_with_parent() -> None:
    if system := _system():
        parent = os.getppid()
        system.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the signal was ordered
            os._exit(1)


def _files_and_programs(readable: Sequence[str], writable: str, lacking: list[str]) -> None:
    """Restrict files and programs by Landlock.

    No program is started, no TCP used, no signal sent out, nothing but `readable` read, nothing written
    outside the folder `writable`.
    """
    system = _system()
    version = system.syscall(_CREATE_RULESET, None, 0, 1) if system else -1
    if system is None or version < 1:
        reason = "the kernel has no Landlock" if system else f"{platform.system()} has no Landlock"
        lacking.append(f"files read-only, no programs: {reason}")
        return
    handled = _EXECUTE | _WRITE_FILE | _READ_FILE | _WRITES
    handled |= (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    attributes = struct.pack("=QQQ", handled, _BIND_AND_CONNECT, _SOCKETS_AND_SIGNALS)
    attributes = attributes[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = system.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset >= 0:
        _allow(system, ruleset, ["/dev/null"], _WRITE_FILE)
        _allow(system, ruleset, readable, _READ_FILE)
        if writable:
            truncate = _TRUNCATE if version >= 3 else 0
            _allow(system, ruleset, [writable], _READ_FILE | _WRITE_FILE | _FILES_AND_FOLDERS | truncate)
        if system.syscall(_RESTRICT_SELF, ruleset, 0) == 0:
            os.close(ruleset)
            return
    lacking.append(f"files read-only, no programs: Landlock refused ({_reason()})")


def _allow(system: ctypes.CDLL, ruleset: int, paths: Sequence[str], access: int) -> None:
    for path in paths:
        with suppress(OSError):  # a path that is not there needs no rule
            place = os.open(path, getattr(os, "O_PATH", 0))
            system.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", access, place), 0)
            os.close(place)


def _readable(files: Sequence[str], module: str) -> list[str]:
    """Files and folders that may be read: Python's, the libraries', the worker's own package, and `files`.

    A folder on Python's path that holds other things too, such as a workspace and its data, is not among
    them.
    """
    libraries = [p for p in sys.path if {"site-packages", "dist-packages"} & set(Path(p).parts)]
    packages = [str(Path(p) / module.partition(".")[0]) for p in sys.path if p]
    own = str(Path(__file__).resolve().parents[1])
    loader = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    prefixes = [str(Path(p) / "lib") for p in (sys.base_prefix, sys.base_exec_prefix)]
    return [
        *SYSTEM_FOLDERS,
        *DEVICES,
        *prefixes,
        *libraries,
        *packages,
        own,
        *filter(None, loader),
        sys.prefix + "/pyvenv.cfg",
        *files,
    ]


def missing_parts(lacking: Sequence[str]) -> list[str]:
    """Return those of the restrictions that could not be enforced without which no stranger's file is opened.

    A GPU's driver needs files of its own; the holder of a GPU chooses the models that run on it.
    """
    needed = ("no network", "files read-only", "memory, CPU time")
    return [part for part in lacking if part.startswith(needed) and not part.endswith(_GPU_NEEDS)]


def main(arguments: Sequence[str]) -> None:
    """Restrict this process and go on as the module; exit with `UNCONFINED_EXIT` without a whole sandbox."""
    text, module = arguments
    plain = json.loads(text)
    readable = plain.pop("readable")
    limits = SandboxLimits(**plain, readable=None if readable is None else tuple(readable))
    lacking = enter_sandbox(limits, module)
    os.environ[LACKING] = json.dumps(lacking)
    missing = missing_parts(lacking)
    if missing and not os.environ.get(UNCONFINED):
        sys.stderr.write("; ".join(missing))
        sys.exit(UNCONFINED_EXIT)
    sys.argv[:] = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
