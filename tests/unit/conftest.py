"""Unit tests: quiet logs, and no time limit on a single example (the machine may be busy)."""

from __future__ import annotations

from hypothesis import settings

from contract.logs import set_up_logs

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
set_up_logs(level="error", fmt="json")
