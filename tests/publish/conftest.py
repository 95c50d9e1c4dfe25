from pathlib import Path

import pytest

from bench.publish.build import build_site
from tests.publish.boards import HOSTILE, loaded_board, reported_only


@pytest.fixture(scope="session")
def boards():
    return [loaded_board(24, names=HOSTILE), reported_only()]


@pytest.fixture(scope="session")
def site(boards, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site") / "public"
    build_site(boards, out, built_from="commit abc1234")
    return out
