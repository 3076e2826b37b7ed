"""The script that times the products of two libraries runs both."""


def test_both_libraries_products_are_timed(figures, monkeypatch):
    found = figures("products")
    monkeypatch.setattr(found, "ROUNDS", 1)
    for kind in found.KINDS:
        row = found.measured(kind, 3, 2)
        assert row["taken"] == "own"
        assert row["own"] > 0
        assert row["onednn"] > 0
