"""The collector: paused and started again, and what commands set."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from bench.garbage import COLLECT_AFTER, paused_garbage_collection


@pytest.mark.parametrize("before", [True, False])
def test_the_collector_is_afterwards_as_it_was(before: bool) -> None:
    was_on = gc.isenabled()
    try:
        (gc.enable if before else gc.disable)()
        with paused_garbage_collection():
            assert not gc.isenabled()
        assert gc.isenabled() is before
    finally:
        (gc.enable if was_on else gc.disable)()


def test_a_command_searches_rarely_and_not_when_it_ends() -> None:
    code = (
        "import atexit, gc, sys\n"
        "from bench.__main__ import main\n"
        "sys.argv = ['bench', '--version']\n"
        "atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > 10_000))\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == f"{COLLECT_AFTER} True"
