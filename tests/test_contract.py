"""The sentences of a chapter, held to its data: raise where the page is the paper's, print elsewhere."""

import pytest

from interplay.contract import says


@pytest.fixture(autouse=True)
def as_built(monkeypatch):
    for name in ("INTERPLAY_SCALE", "INTERPLAY_RETRAIN", "INTERPLAY_CONTRACT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("fault", [AssertionError(), KeyError("no g = 0.9 here"), IndexError()])
def test_a_false_sentence_fails_the_page_by_name(fault):
    with pytest.raises(AssertionError, match="rank 2 is enough") as raised, says("rank 2 is enough"):
        raise fault
    assert raised.value.__cause__ is fault


@pytest.mark.parametrize(
    ("name", "value"),
    [("SCALE", "smoke"), ("SCALE", "lite"), ("RETRAIN", "1"), ("CONTRACT", "print"), (None, None)],
)
def test_where_the_page_is_not_the_papers_it_only_says_so(name, value, monkeypatch, capsys):
    if name:
        monkeypatch.setenv(f"INTERPLAY_{name}", value)
    for sentence, true in (("it is small", True), ("it is large", False)):
        with says(sentence, untouched=name is not None):
            assert true
    assert capsys.readouterr().out.splitlines() == ["holds: it is small", "not here: it is large"]


def test_an_interrupt_is_no_verdict():
    with pytest.raises(KeyboardInterrupt), says("it ends"):
        raise KeyboardInterrupt
