"""What contracts and the cache save in model calls, at a tenth of the benchmark's size: counts, no times."""

from __future__ import annotations

from benchmarks import model_calls


def test_contracts_and_cache_save_more_than_half_of_the_calls_and_no_accuracy(monkeypatch) -> None:
    """30 % repeats and 40 % decidable by contract cost at most 0.45 of a call per message, at no lower accuracy."""
    monkeypatch.setattr(model_calls, "COUNT", 1000)
    monkeypatch.setattr(model_calls, "REPEATED", 300)
    found = {figure.name: figure for figure in model_calls.measure().figures}

    assert found["a call per message: calls per decision"].value == 1.0
    assert found["signalbox ÷ a call per message"].value <= model_calls.AIM
    assert found["signalbox: accuracy"].value >= found["a call per message: accuracy"].value > 0.9
