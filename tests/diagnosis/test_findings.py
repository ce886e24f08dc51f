from condvae.diagnosis.findings import Finding, ordered


def test_words_say_what_how_much_how_sure_and_what_to_do():
    assert Finding("a", "note", "it is so").words() == "it is so"
    assert Finding("a", "note", "it is so", 0.123, 0.046).words() == "it is so (0.12 ± 0.05 nats per row)"
    assert (
        Finding("a", "note", "it is so", 0.123, advice="act").words() == "it is so (0.12 nats per row): act"
    )
    assert Finding("a", "note", "it is so", p_value=0.0123).words() == "it is so (p = 0.012)"
    assert Finding("a", "note", "it is so", p_value=1e-9).words() == "it is so (p < 0.0001)"


def test_what_must_be_looked_at_comes_first():
    verdicts = [
        Finding("good", "good", "a", 9.0),
        Finding("small", "problem", "b", 0.1),
        Finding("note", "note", "c"),
        Finding("large", "problem", "d", -2.0),
    ]
    assert [one.code for one in ordered(verdicts)] == ["large", "small", "note", "good"]


def test_json_holds_every_field():
    data = Finding("a", "note", "it is so", 0.5).to_json()
    assert data["nats"] == 0.5
    assert data["advice"] is None
    assert Finding(**data) == Finding("a", "note", "it is so", 0.5)
