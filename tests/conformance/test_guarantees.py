"""Every guarantee is proved by rules that exist, in every suite that it is about."""

from __future__ import annotations

from goes_lite_conformance import by_url, rules_of
from goes_lite_conformance.guarantees import GUARANTEES
from goes_lite_conformance.sqlite_power import SQLitePowerTests

# the suites of power cuts are of no use without apsw, but their rules can be named
SUITES = {*by_url.suites("sqlite:////app.db"), SQLitePowerTests}
KNOWN = [rule.id for suite in SUITES for rule in rules_of(suite).values()]


def test_there_are_all_of_them() -> None:
    assert [guarantee.id for guarantee in GUARANTEES] == [f"G{number}" for number in range(1, 15)]


def test_each_proof_is_a_rule_or_a_family() -> None:
    known = {*KNOWN, *(rule.rpartition("-")[0] for rule in KNOWN)}
    for guarantee in GUARANTEES:
        assert guarantee.proofs
        assert set(guarantee.proofs) <= known, guarantee
        assert set(guarantee.rules(KNOWN)) == {
            rule for rule in KNOWN for proof in guarantee.proofs if rule == proof or rule.startswith(f"{proof}-")
        }
