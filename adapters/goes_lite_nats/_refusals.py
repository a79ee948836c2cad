"""What the broker refuses, in words that help: it reports refusals as lines of text, apart from what they refuse.

Rule of this file: such a line is no reply, so a caller that waits for one is told what the broker said meanwhile.
"""

from __future__ import annotations

import re

from goes_lite_nats._client import NoTls

DENIALS = ("authorization violation", "authentication", "account expired", "nkey", "permissions violation for connect")
"""Errors that a retry cannot fix. They have no type: a server reports them in a line of text."""

_VIOLATION = re.compile(r"permissions violation for (publish|subscription) to ['\"]?([^\s'\"]+)", re.IGNORECASE)


def denies_login(error: Exception | None) -> bool:
    """Whether a login is refused: by the broker, or by ourselves, because it would be in the clear."""
    return isinstance(error, NoTls) or any(word in str(error or "").lower() for word in DENIALS)


def unreachable(location: str, error: Exception | None) -> str:
    """Return why there is no broker, after the last error of connecting."""
    if isinstance(error, NoTls):
        return f"{location} offers no TLS, so nothing was sent to it: enable TLS there, or use nats:// without tls=true"
    if denies_login(error):
        return f"{location} refuses the login ({error}): check user, password, token, creds or nkey"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"{location} cannot be reached ({error}): name the certificate of its authority with tls_ca"
    return f"{location} cannot be reached ({error}): check that a server runs there"


class Refusals:
    """The subjects that the broker does not permit to this user."""

    def __init__(self) -> None:
        self._publish: set[str] = set()  # in lower case, as the driver reports them
        self._subscribe: list[str] = []

    def note(self, error: Exception) -> None:
        """Keep what the broker reports, if it is such a refusal."""
        if (found := _VIOLATION.search(str(error))) is not None:
            what, subject = (word.lower() for word in found.groups())
            subject = "_INBOX.>" if subject.startswith("_inbox.") else subject
            if what == "publish":
                self._publish.add(subject)
            elif subject not in self._subscribe:
                self._subscribe.append(subject)

    def clear(self) -> None:
        """Forget them: after a new login, the rights may be others."""
        self._publish.clear()
        self._subscribe.clear()

    def why(self, subject: str) -> str:
        """Return why nobody replies to a message to a subject, as far as the broker has said; else an empty string."""
        if subject.lower() in self._publish:
            self._publish.discard(subject.lower())  # the right may be granted meanwhile
            return f"this user has no right to publish to {subject!r}: grant it (docs/nats.md lists the subjects)"
        if self._subscribe:
            subjects = ", ".join(map(repr, self._subscribe))
            return f"this user has no right to subscribe to {subjects}: grant it (docs/nats.md lists the subjects)"
        return ""
