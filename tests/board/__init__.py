import pytest

pytest.register_assert_rewrite("tests.board.one_answer")
