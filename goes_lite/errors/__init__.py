"""Every error that goes_lite raises on purpose.

    GoesError
    ├── ConcurrencyError              an aggregate is at another version than the append expected
    ├── AppendConditionFailed         an event that the decision did not see matches its condition
    ├── KeyTaken                      an aggregate has the key that was claimed             (ValueError)
    ├── DuplicateEventError           an event id is already used by a different event      (ValueError)
    ├── ImportConflict                events of another store do not fit the log            (ValueError)
    ├── AppendInDoubtError            the store became unreachable and the outcome is unknown
    ├── InvalidEventError             an event cannot be recorded as it is                  (ValueError)
    ├── InvalidQueryError             a query contradicts itself or has a wrong value       (ValueError)
    ├── AggregateError
    │   ├── AggregateNotFound         no event of this aggregate is stored                  (LookupError)
    │   ├── AggregateDeleted          the aggregate was soft-deleted                        (LookupError)
    │   └── VersionNotFound           the aggregate never reached that version or time      (LookupError)
    ├── RegistryError
    │   ├── UnknownEventError         a stored event name without a registered type         (LookupError)
    │   ├── UnregisteredTypeError     a value whose type has no registered name             (TypeError)
    │   └── RegistrationError         a registration contradicts an earlier one             (ValueError)
    ├── CodecError
    │   ├── EncodeError               a value does not fit its registered type              (TypeError)
    │   └── DecodeError               stored bytes do not fit the registered type           (ValueError)
    ├── ModelError
    │   ├── ModelNotFound             no read model has this id                             (LookupError)
    │   └── ModelConflict             a read model is at another version than expected
    ├── LeaseError
    │   ├── LeaseHeld                 another owner holds the lease
    │   └── LeaseLost                 the lease moved on; the late write was refused
    ├── ProcessorError
    │   ├── ProcessorStopped          an event could not be handled
    │   ├── ProcessorBehind           it did not reach a position in the given time         (TimeoutError)
    │   ├── ProjectionOutdated        a read model has another version than the program
    │   └── CheckpointMismatch        a checkpoint belongs to another store, or another life of it
    ├── CommandError
    │   ├── CommandNotHandled         no handler is registered for the command               (LookupError)
    │   ├── CommandNotFound           no command with this id was accepted                   (LookupError)
    │   ├── CommandRejected           its handler refused it
    │   ├── CommandFailed             it was accepted, and failed in the end
    │   ├── CommandTimeout            it was not handled by its deadline                     (TimeoutError)
    │   └── CommandMismatch           its id was used by a different command                 (ValueError)
    ├── InvalidCommandKey             the id of a command is neither a UUID nor a key       (ValueError)
    ├── WorkflowError
    │   ├── InstanceNotFound          no instance of the workflow has this key, or it ended (LookupError)
    │   ├── InstanceExists            the workflow was already started for this key         (ValueError)
    │   ├── InvalidEffect             a reaction returned what cannot be done               (ValueError)
    │   ├── TooManyEffects            a reaction has more effects than an instance may have
    │   ├── UnknownStep               an instance needs a version or a step that is missing (LookupError)
    │   └── StepError
    │       ├── StepFailed            a step of a function was given up
    │       ├── StepTimeout           what it waited for did not happen in time             (TimeoutError)
    │       ├── DuplicateStep         two steps have the same name                          (ValueError)
    │       ├── TooManySteps          an instance has more steps than it may have
    │       └── ResultTooLarge        a step has a result that is too large
    ├── TransactionError              a transaction was used in a way that cannot work
    │   └── TransactionConflict       another transaction conflicted: it was rolled back, run it again
    ├── BusError
    │   └── DeliveryError             a delivery was settled twice, or after its bus closed
    ├── CopyRefused                   the target of a copy holds something else             (ValueError)
    ├── InvalidExport                 a line of an export cannot be read, or was changed    (ValueError)
    ├── InvalidReceipt                a receipt cannot be read, or was changed              (ValueError)
    ├── StillRunning                  a handle was closed, but something does not stop         (TimeoutError)
    ├── StoreError
    │   ├── StoreClosed               used after close
    │   ├── StoreForked               used in a child process that inherited it
    │   ├── StoreLocked               another program keeps the store locked                (TimeoutError)
    │   ├── StoreReadOnly             a write to a store that can only be read              (PermissionError)
    │   ├── StoreMoved                a write to a store that was moved to another place
    │   ├── FenceChanged              the fence of a store is not that of the move
    │   ├── MoveRefused               a store cannot be moved as asked                      (ValueError)
    │   ├── MoveUndone                a move took too long, and was undone
    │   ├── StoreFull                 no room left on the disk                              (OSError)
    │   ├── StoreUnavailable          it cannot be opened or reached                        (OSError)
    │   ├── StoreDamaged              what is stored cannot be right
    │   ├── CopyDiffers               a copy is not equal to its source
    │   ├── ForeignFile               the file belongs to another program
    │   ├── ImportUnfinished          an import into the store was not finished
    │   ├── StoreTooNew               the file was written by a newer goes_lite
    │   ├── NetworkFilesystem         the file lies where file locks are unreliable
    │   └── UnsafeAccess              the live file was about to be opened bypassing the store
    └── BackendError
        ├── UnknownBackend            no installed backend serves this URL scheme           (LookupError)
        ├── DriverMissing             the backend's driver package is not installed         (ImportError)
        ├── ConfigError               a URL, option or configuration file is wrong          (ValueError)
        └── AbilityMissing            the backend does not support what was asked

A class in parentheses is a built-in base, so `except LookupError` works as expected. Each message states the fact, the
value, and the way out; the values are also attributes, so no program has to parse text.
"""

from __future__ import annotations

from goes_lite.errors._backends import (
    AbilityMissing,
    BackendError,
    ConfigError,
    DriverMissing,
    UnknownBackend,
)
from goes_lite.errors._base import (
    GoesError,
)
from goes_lite.errors._commands import (
    CommandError,
    CommandFailed,
    CommandMismatch,
    CommandNotFound,
    CommandNotHandled,
    CommandRejected,
    CommandTimeout,
    InvalidCommandKey,
)
from goes_lite.errors._consumers import (
    BusError,
    CheckpointMismatch,
    DeliveryError,
    LeaseError,
    LeaseHeld,
    LeaseLost,
    ModelConflict,
    ModelError,
    ModelNotFound,
    ProcessorBehind,
    ProcessorError,
    ProcessorStopped,
    ProjectionOutdated,
    StillRunning,
    TransactionConflict,
    TransactionError,
)
from goes_lite.errors._events import (
    AggregateDeleted,
    AggregateError,
    AggregateNotFound,
    AppendConditionFailed,
    AppendInDoubtError,
    CodecError,
    ConcurrencyError,
    DecodeError,
    DuplicateEventError,
    EncodeError,
    ImportConflict,
    InvalidEventError,
    InvalidQueryError,
    KeyTaken,
    RegistrationError,
    RegistryError,
    UnknownEventError,
    UnregisteredTypeError,
    VersionNotFound,
)
from goes_lite.errors._stores import (
    CopyDiffers,
    CopyRefused,
    FenceChanged,
    ForeignFile,
    ImportUnfinished,
    InvalidExport,
    InvalidReceipt,
    MoveRefused,
    MoveUndone,
    NetworkFilesystem,
    StoreClosed,
    StoreDamaged,
    StoreError,
    StoreForked,
    StoreFull,
    StoreLocked,
    StoreMoved,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
    UnsafeAccess,
)
from goes_lite.errors._workflows import (
    DuplicateStep,
    InstanceExists,
    InstanceNotFound,
    InvalidEffect,
    ResultTooLarge,
    StepError,
    StepFailed,
    StepTimeout,
    TooManyEffects,
    TooManySteps,
    UnknownStep,
    WorkflowError,
)

__all__ = [
    "AbilityMissing",
    "AggregateDeleted",
    "AggregateError",
    "AggregateNotFound",
    "AppendConditionFailed",
    "AppendInDoubtError",
    "BackendError",
    "BusError",
    "CheckpointMismatch",
    "CodecError",
    "CommandError",
    "CommandFailed",
    "CommandMismatch",
    "CommandNotFound",
    "CommandNotHandled",
    "CommandRejected",
    "CommandTimeout",
    "ConcurrencyError",
    "ConfigError",
    "CopyDiffers",
    "CopyRefused",
    "DecodeError",
    "DeliveryError",
    "DriverMissing",
    "DuplicateEventError",
    "DuplicateStep",
    "EncodeError",
    "FenceChanged",
    "ForeignFile",
    "GoesError",
    "ImportConflict",
    "ImportUnfinished",
    "InstanceExists",
    "InstanceNotFound",
    "InvalidCommandKey",
    "InvalidEffect",
    "InvalidEventError",
    "InvalidExport",
    "InvalidQueryError",
    "InvalidReceipt",
    "KeyTaken",
    "LeaseError",
    "LeaseHeld",
    "LeaseLost",
    "ModelConflict",
    "ModelError",
    "ModelNotFound",
    "MoveRefused",
    "MoveUndone",
    "NetworkFilesystem",
    "ProcessorBehind",
    "ProcessorError",
    "ProcessorStopped",
    "ProjectionOutdated",
    "RegistrationError",
    "RegistryError",
    "ResultTooLarge",
    "StepError",
    "StepFailed",
    "StepTimeout",
    "StillRunning",
    "StoreClosed",
    "StoreDamaged",
    "StoreError",
    "StoreForked",
    "StoreFull",
    "StoreLocked",
    "StoreMoved",
    "StoreReadOnly",
    "StoreTooNew",
    "StoreUnavailable",
    "TooManyEffects",
    "TooManySteps",
    "TransactionConflict",
    "TransactionError",
    "UnknownBackend",
    "UnknownEventError",
    "UnknownStep",
    "UnregisteredTypeError",
    "UnsafeAccess",
    "VersionNotFound",
    "WorkflowError",
]

TRANSIENT = (StoreLocked, StoreFull, StoreUnavailable, StoreMoved, AppendInDoubtError, TransactionConflict)
"""Errors of a store that may work again later: no event or command is to blame, so the same operation is retried."""

for _name in __all__:  # tracebacks and pickles name the public module
    globals()[_name].__module__ = __name__
