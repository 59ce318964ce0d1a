import logging

import pytest

from gossipfl.training.cores import available_cores, available_memory, slots_with_room


@pytest.mark.parametrize(
    ("num_floats", "memory", "expected"),
    [
        (1000, 16_000 * 8, 8),
        (1000, 16_000 * 8 - 1, 7),
        (1000, 16_000, 1),
        (1000, 0, 1),
        (10**9, 10**9, 1),
        (1000, None, 8),
        (0, 10**9, 8),
    ],
)
def test_slots_are_as_many_as_cores_and_memory_allow(num_floats, memory, expected, caplog):
    with caplog.at_level(logging.WARNING):
        assert slots_with_room(8, num_floats, memory) == expected
    assert len(caplog.records) == (expected < 8)
    assert all(f"{expected} of 8 cores train" in record.getMessage() for record in caplog.records)


def test_memory_is_what_linux_says_is_available(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  100 kB\nMemFree: 7 kB\nMemAvailable:    40 kB\nHugePages_Total:   0\n")
    assert available_memory(meminfo) == 40 * 1024
    for text in ("", "MemAvailable:\n", "MemTotal: 100 kB\n", "nonsense"):
        meminfo.write_text(text)
        assert available_memory(meminfo) is None
    assert available_memory(tmp_path / "nothing") is None
    assert available_cores() >= 1


@pytest.mark.slow
def test_a_trainer_has_the_slots_that_memory_has_room_for(monkeypatch):
    pytest.importorskip("tensorflow")
    from fit_oracle import toy_trainer
    from toy_models import softmax_sgd

    monkeypatch.setattr("gossipfl.training.keras.trainer.available_cores", lambda: 3)
    for memory, expected in ((10**12, 3), (1, 1)):
        monkeypatch.setattr("gossipfl.training.keras.trainer.available_memory", lambda memory=memory: memory)
        assert toy_trainer(softmax_sgd, slots=None).num_slots == expected
    assert toy_trainer(softmax_sgd, slots=2).num_slots == 2
