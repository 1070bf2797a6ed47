"""Whole stacks, while parts of them are killed, stopped and emptied."""

import pytest

# Before any of them is imported: what helpers of tests assert is then told in full, as in a test.
pytest.register_assert_rewrite("tests.chaos.stacks")
