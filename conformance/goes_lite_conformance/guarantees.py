"""Which rules prove which guarantee: the contract in fourteen sentences, as `docs/guarantees.md` explains it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Guarantee(NamedTuple):
    """A promise to users, and the rules that prove it."""

    id: str
    text: str
    proofs: tuple[str, ...]
    """Ids of rules and of families of rules."""

    def rules(self, known: Iterable[str]) -> list[str]:
        """Return those of the known rules that prove it."""
        return [rule for rule in known if rule in self.proofs or rule.rpartition("-")[0] in self.proofs]


GUARANTEES = (
    Guarantee("G1", "a batch is stored whole or not at all", (
        "ES-APPEND-009", "ES-APPEND-018", "ES-APPEND-023", "CC-READ-005", "CR-APPEND-002", "BE-TX-002", "BE-VIEW-012",
    )),
    Guarantee("G2", "versions are contiguous, conflicts are typed, under real contention", (
        "ES-APPEND-011", "ES-APPEND-012", "ES-APPEND-013", "ES-APPEND-025", "CC-CONTEND", "CC-DECIDE",
    )),
    Guarantee("G3", "an append may be repeated", ("ES-RETRY", "CR-APPEND-003", "CC-CANCEL-001")),
    Guarantee("G4", "a reader never skips", ("CC-READ", "CC-SLOW", "CC-PROC-001", "ES-FOLLOW-015", "ES-FOLLOW-016")),
    Guarantee("G5", "what was acknowledged survives", ("CR-APPEND", "CR-TX", "CR-SOUND", "BE-OPEN-002", "PW-CUT", "BE-FENCE")),
    Guarantee("G6", "every field comes back exactly", (
        "ES-DATA", "ES-STORED", "SS-SAVE", "EB-PUB-002", "ES-IMPORT", "MS-IMPORT", "CP-IMPORT", "SS-MANY", "BE-VIEW-005",
    )),
    Guarantee("G7", "a query means what `matches` says", ("ES-QUERY", "ES-COUNT", "ES-COND", "ST-MODEL")),
    Guarantee("G8", "following misses nothing and repeats nothing", (
        "ES-FOLLOW", "CC-READ", "CR-OTHERS-002", "BE-COMMITS", "PR-RUN-001", "PR-START", "PR-CHECK",
    )),
    Guarantee("G9", "delivery is at least once, and to one member of a group", (
        "EB-SETTLE", "EB-GROUP", "EB-HANDLE", "EB-DEAD", "CC-BUS", "PR-LEASE", "PR-RETRY", "PR-DEAD", "PR-ORDER",
    )),
    Guarantee("G10", "a projection in the same backend counts exactly once", (
        "BE-TX-018", "CR-TX-001", "CR-PROC", "CP-FENCE", "PR-FENCE", "PR-ONCE", "WF-TELL", "WF-TIMER", "WF-ALONE",
    )),
    Guarantee("G11", "cancelling and abandoning leak nothing and lose nothing", (
        "CC-CANCEL", "BE-CLOSE", "ES-QUERY-048", "ES-QUERY-050", "ES-FOLLOW-021", "ES-FOLLOW-022", "EB-SUB-009",
        "BE-COMMITS-015", "PR-CLOSE",
    )),
    Guarantee("G12", "one process or many, the same result", (
        "BE-HANDLE", "CC-PROC", "CR-OTHERS", "CR-PROC-002", "ES-FOLLOW-006", "PR-CHECK-003", "PR-LEASE-003", "PR-LEASE-004",
        "PR-SCHED-003", "PR-WAIT-004",
    )),
    Guarantee("G13", "bad input is a typed error and leaves the store unchanged", (
        "ES-BAD", "SS-BAD", "MS-BAD", "MS-BULK-011", "MS-BULK-012", "MS-BULK-013", "MS-RENAME-006", "CP-BAD",
        "ES-IMPORT-008", "ES-IMPORT-011", "MS-IMPORT-004", "CP-IMPORT-003", "SS-MANY-003",
        "BE-VIEW-007", "BE-FENCE-008", "LE-BAD", "LE-IMPORT-004",
        "EB-NAME-005", "BE-COMMITS-014", "BE-OPEN-008", "BE-READONLY", "BE-UNKNOWN", "PR-BAD",
        "PR-UNREAD",
    )),
    Guarantee("G14", "abilities are what they are said to be", ("BE-ABILITY",)),
)  # fmt: skip
