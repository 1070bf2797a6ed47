"""The secret that webhooks are signed with: as Standard Webhooks writes one, or not at all."""

from __future__ import annotations

import pytest

from contract.settings import Settings, SettingsError
from tests.receiver import SECRET


def test_a_secret_is_read_and_never_shown():
    settings = Settings.from_env({"FOURNIL_WEBHOOK_SECRET": SECRET})
    assert settings.webhooks.secret == SECRET
    assert SECRET not in repr(settings)


@pytest.mark.parametrize("text", ["hunter2", "whsec_", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_"), SECRET[:-2]])
def test_what_is_no_secret_is_refused_and_not_repeated(text):
    with pytest.raises(SettingsError, match=r"FOURNIL_WEBHOOK_SECRET is \(hidden\); write whsec_") as caught:
        Settings.from_env({"FOURNIL_WEBHOOK_SECRET": text})
    assert text not in str(caught.value).replace("write whsec_", "") or text == "whsec_"
