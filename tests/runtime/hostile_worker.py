"""A worker that does what a stranger's model would, had it taken over the process."""

from __future__ import annotations

import mmap
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bench.sandbox.launch import lacking_here
from bench.sandbox.messages import read_message, serve, write_message


def tried(act: Callable[[], Any]) -> str:
    """``done``, or the error that stopped it."""
    try:
        act()
    except (OSError, subprocess.SubprocessError) as error:
        return type(error).__name__
    return "done"


def connect(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def as_the_driver_of_a_gpu(devices: list[str], home: Path) -> dict[str, str]:
    """What CUDA and PyTorch do when they start: an act → ``done``, or the error that stopped it."""
    thread = Path("/proc/self/task") / str(threading.get_native_id()) / "comm"

    def open_often() -> None:
        with ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(Path(devices[0]).open("rb"))

    def open_devices() -> None:
        for device in devices:
            os.close(os.open(device, os.O_RDWR))

    return {
        "open the devices": tried(open_devices),
        "name a thread": tried(lambda: thread.write_text("cuda")),
        "reserve addresses": tried(lambda: mmap.mmap(-1, 2**40, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 0)),
        "make a file in memory": tried(lambda: os.truncate(os.memfd_create("cuda"), 2**26)),
        "cache compiled kernels": tried(lambda: (home / "cache").write_bytes(bytes(2**25))),
        "start a compiler": tried(lambda: subprocess.run([sys.executable, "-S", "-c", ""], check=True)),
        "open devices many times": tried(open_often),
    }


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    request, _ = read_message(requests)
    match request.get("do", "other columns"):
        case "trespass":
            secret, folder = Path(request["secret"]), Path(request["folder"])
            found = {
                "read what was handed over": tried(Path(request["allowed"]).read_bytes),
                "read the labels": tried(secret.read_bytes),
                "write beside them": tried(lambda: (folder / "new").write_text("x")),
                "overwrite": tried(lambda: secret.write_text("x")),
                "make a folder": tried((folder / "sub").mkdir),
                "delete": tried(secret.unlink),
                "rename": tried(lambda: secret.rename(folder / "gone")),
                "link": tried(lambda: os.link(secret, folder / "link")),
                "write to the temporary folder": tried(lambda: Path("/tmp/hostile").write_text("x")),
                "start a program": tried(lambda: subprocess.run([sys.executable, "-c", "1"], check=True)),
                "connect": tried(lambda: connect(request["port"])),
                "end the harness": tried(lambda: os.kill(os.getppid(), 15)),
            }
            write_message(
                answers, {"found": found, "lacking": lacking_here(), "variables": sorted(os.environ)}
            )
        case "drive a GPU":
            found = as_the_driver_of_a_gpu(request["devices"], Path(request["home"]))
            write_message(answers, {"found": found, "lacking": lacking_here()})
        case "spin":
            while True:
                pass
        case "flood":
            for _ in range(64):
                os.write(2, b"\x1b[2Jflood\n" * 100_000)
            write_message(answers, {"size": os.fstat(2).st_size})
        case "fork":
            if os.fork() != 0:
                write_message(answers, {})
            time.sleep(60)
        case "long header":
            os.write(answers.fileno(), (2**60).to_bytes(8, "little"))
        case "large array":
            text = b'{"header": {}, "arrays": [["a", "<f8", [1099511627775, 1000]]]}'
            os.write(answers.fileno(), len(text).to_bytes(8, "little") + text)
        case "objects":
            text = b'{"header": {}, "arrays": [["a", "O", [4]]]}'
            os.write(answers.fileno(), len(text).to_bytes(8, "little") + text + bytes(32))
        case "no json":
            os.write(answers.fileno(), (4).to_bytes(8, "little") + b"\xff\xfe[]")
        case "odd failure":
            write_message(answers, {"failure": {"x": 1}, "message": ["\x1b[31m"]})
        case "other columns":
            write_message(answers, {})
            read_message(requests)
            write_message(answers, {}, {"stranger": np.zeros(3)})


if __name__ == "__main__":
    serve(work)
