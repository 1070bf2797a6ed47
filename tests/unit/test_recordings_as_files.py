"""What is in a recording's file, and how it becomes samples."""

from __future__ import annotations

import io
from typing import Any

import pytest

from contract.media import Media

np = pytest.importorskip("numpy", reason="needs numpy")
pytest.importorskip("av", reason="needs PyAV")
pytest.importorskip("soxr", reason="needs soxr")

from models.media.audio import decode, look  # noqa: E402
from models.media.seen import MediaRefused  # noqa: E402
from tests.recordings import KINDS, broken, recording, tone, wave  # noqa: E402

TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg", "m4a": "audio/mp4"}


def decoded(body: bytes, *, rate: int | None = None, **limits: Any) -> Any:
    return decode(io.BytesIO(body), Media(**limits), rate=rate)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_told_by_its_content_and_becomes_the_same_tone(kind):
    body = recording(kind)

    seen = look(io.BytesIO(body), Media())
    sound = decoded(body, rate=16_000)

    assert seen.content_type == TYPES.get(kind.split()[0], "audio/webm")
    assert sound.rate == 16_000
    assert sound.seconds == pytest.approx(1.0, abs=0.06)
    assert sound.samples.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(sound.samples[4_000:12_000]))
    assert spectrum.argmax() * 2 == pytest.approx(440, abs=2)
    assert np.abs(sound.samples[4_000:12_000]).max() == pytest.approx(0.5, abs=0.05)


def test_samples_are_those_of_the_file():
    sent = tone(16_000, 0.5)

    assert (decoded(wave(sent, code=3)).samples == sent).all()
    assert np.abs(decoded(wave((sent * 32768).astype(np.int16))).samples - sent).max() < 1 / 32768


def test_channels_are_mixed_to_their_mean():
    left, right = tone(16_000, 0.5), tone(16_000, 0.5, hertz=100)

    mixed = decoded(wave(np.stack([left, right], axis=1), code=3, channels=2)).samples

    assert np.abs(mixed - (left + right) / 2).max() < 1e-6


def test_another_rate_is_a_resampling_of_the_whole():
    import soxr

    sent = tone(44_100, 1.0)

    made = decoded(wave(sent, rate=44_100, code=3), rate=16_000).samples

    whole = soxr.resample(sent, 44_100, 16_000)
    assert len(made) == len(whole)
    assert np.abs(made - whole).max() < 1e-4


def test_the_header_says_how_long_it_is():
    seen = look(io.BytesIO(recording("flac", seconds=2, layout="stereo")), Media())

    assert (seen.seconds, seen.channels, seen.rate) == (2.0, 2, 44_100)


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "ogg of opus", "mp3"])
def test_what_is_too_long_is_refused_by_its_header(kind):
    with pytest.raises(MediaRefused, match="longer than the 2 s"):
        look(io.BytesIO(recording(kind, seconds=3)), Media(max_audio_seconds=2))


def test_a_header_that_claims_little_brings_no_more_than_is_taken():
    # A FLAC of three seconds that says it has a tenth of one.
    body = bytearray(recording("flac", seconds=3))
    body[8 + 14 : 8 + 18] = (4_410).to_bytes(4, "big")

    with pytest.raises(MediaRefused):
        decoded(bytes(body), max_audio_seconds=2)


def test_a_wav_written_while_nobody_knew_its_length_is_taken():
    assert decoded(wave(tone(16_000, 1.0), code=3, claimed=0xFFFF_FFFF)).seconds == pytest.approx(1.0)


def test_an_mp3_with_rubbish_before_and_after_is_taken():
    body = recording("mp3", seconds=2)

    assert decoded(body + b"TAG" + b"\xff" * 125).seconds == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("wrong", broken())
def test_what_is_no_good_recording_is_refused_with_a_sentence(wrong):
    body = broken()[wrong]

    with pytest.raises(MediaRefused) as refused:
        decoded(body)
    assert str(refused.value).endswith(".")
    assert not any(word in str(refused.value) for word in ("Error", "Traceback", "ffmpeg", "/"))
