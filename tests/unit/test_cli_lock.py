"""One stack a data directory."""

from __future__ import annotations

import os
import stat

import pytest

from cli.stack.lock import locked
from contract.options import SettingsError


def test_the_second_holder_is_told_who_the_first_is(tmp_path):
    with (
        locked(tmp_path / "data"),
        pytest.raises(SettingsError, match=rf"\(process {os.getpid()}\)"),
        locked(tmp_path / "data"),
    ):
        pass


def test_it_is_free_again_afterwards_and_private(tmp_path):
    folder = tmp_path / "data"
    for _ in range(2):
        with locked(folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("", encoding="ascii")

    with pytest.raises(SettingsError, match="cannot be written"), locked(tmp_path / "file" / "data"):
        pass
