"""What is done with a whole store: look into it, check it, keep it safe, carry it away.

Belongs here: functions of a `Backend`, one concept in a file, on the contract alone, so that all of it works on every
backend. `goes_lite.blocking.operations` has the same functions for blocking handles; the command line and other faces show
what they return.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goes_lite.contract.findings import Finding
    from goes_lite.operations.backups import BackedUp, backup
    from goes_lite.operations.canonical import Block, Folder, event_hash, log_hash
    from goes_lite.operations.copying import Copied, Copying, CopyProgress, Step, Synced, copy
    from goes_lite.operations.digests import Comparison, Difference, Progress, check, digest
    from goes_lite.operations.doctoring import doctor
    from goes_lite.operations.export_lines import End, Header
    from goes_lite.operations.export_reader import Batch, ExportReader
    from goes_lite.operations.exports import ExportWriter, export, export_to
    from goes_lite.operations.following import Followed, follow
    from goes_lite.operations.handles import Handle
    from goes_lite.operations.imports import Imported, check_file, import_from, import_log
    from goes_lite.operations.moving import Moved, cutover, undo
    from goes_lite.operations.parts import LeftOut, PartCopied, Transform, copy_part, rewritten
    from goes_lite.operations.planning import CopyPlan, plan_copy
    from goes_lite.operations.receipts import Receipt
    from goes_lite.operations.restoring import Restored, drill, restore, restore_file
    from goes_lite.operations.tables import Table, write_tables
    from goes_lite.operations.verifying import Findings, verify

__all__ = [
    "BackedUp",
    "Batch",
    "Block",
    "Comparison",
    "Copied",
    "CopyPlan",
    "CopyProgress",
    "Copying",
    "Difference",
    "End",
    "ExportReader",
    "ExportWriter",
    "Finding",
    "Findings",
    "Folder",
    "Followed",
    "Handle",
    "Header",
    "Imported",
    "LeftOut",
    "Moved",
    "PartCopied",
    "Progress",
    "Receipt",
    "Restored",
    "Step",
    "Synced",
    "Table",
    "Transform",
    "backup",
    "check",
    "check_file",
    "copy",
    "copy_part",
    "cutover",
    "digest",
    "doctor",
    "drill",
    "event_hash",
    "export",
    "export_to",
    "follow",
    "import_from",
    "import_log",
    "log_hash",
    "plan_copy",
    "restore",
    "restore_file",
    "rewritten",
    "undo",
    "verify",
    "write_tables",
]

_MODULES = {
    "backups": ("BackedUp", "backup"),
    "canonical": ("Block", "Folder", "event_hash", "log_hash"),
    "copying": ("Copied", "CopyProgress", "Copying", "Step", "Synced", "copy"),
    "digests": ("Comparison", "Difference", "Progress", "check", "digest"),
    "doctoring": ("doctor",),
    "export_lines": ("End", "Header"),
    "export_reader": ("Batch", "ExportReader"),
    "exports": ("ExportWriter", "export", "export_to"),
    "imports": ("Imported", "check_file", "import_from", "import_log"),
    "following": ("Followed", "follow"),
    "handles": ("Handle",),
    "moving": ("Moved", "cutover", "undo"),
    "parts": ("LeftOut", "PartCopied", "Transform", "copy_part", "rewritten"),
    "planning": ("CopyPlan", "plan_copy"),
    "receipts": ("Receipt",),
    "tables": ("Table", "write_tables"),
    "verifying": ("Finding", "Findings", "verify"),
    "restoring": ("Restored", "drill", "restore", "restore_file"),
}
"""The modules that define the names: each is imported when it is first used."""


if not TYPE_CHECKING:  # a type checker that sees it accepts any name

    def __getattr__(name: str) -> object:
        from importlib import import_module

        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(f"goes_lite.operations.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
