"""Parts of Fournil on real databases and a real broker."""

import pytest

# Before any of them is imported: what helpers of tests assert is then told in full, as in a test.
pytest.register_assert_rewrite(
    *(f"tests.integration.{helper}" for helper in ("beside_library", "caller", "reading_bench"))
)
