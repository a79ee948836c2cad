"""A command line program with undo: a list of tasks that never forgets.

    pip install goes-lite typer
    python3 examples/recipes/tasks.py add "buy tea" "wash the cups"
    python3 examples/recipes/tasks.py done 1
    python3 examples/recipes/tasks.py undo
    python3 examples/recipes/tasks.py history

Each command records one event. Undo records another one, which compensates it: nothing is ever erased, so undo can be undone, the
history shows both, and the list can be shown as it was at any time. The file is in the folder where programs keep their data,
unless --file or TASKS_FILE names another one. docs/recipe-cli.md explains each part.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import goes_lite as goes

# --- the domain: events, each with all that it takes to compensate it ---------------------------------------------------


@dataclass(frozen=True)
class Task:
    number: int
    text: str
    done: bool = False


@goes.event("tasks.added")
@dataclass(frozen=True)
class Added:
    tasks: tuple[Task, ...]


@goes.event("tasks.removed")
@dataclass(frozen=True)
class Removed:
    tasks: tuple[Task, ...]


@goes.event("tasks.changed")
@dataclass(frozen=True)
class Changed:
    before: tuple[Task, ...]
    after: tuple[Task, ...]


Change = Added | Removed | Changed


def compensation(change: Change) -> Change:
    """Return the event that takes back another one."""
    match change:
        case Added(tasks):
            return Removed(tasks)
        case Removed(tasks):
            return Added(tasks)
        case Changed(before, after):
            return Changed(after, before)


class Refused(Exception):
    """What a person asked for cannot be done; the message says why."""


def line(text: str) -> str:
    """Return the text of a task as it is kept; Refused if it is none."""
    if not (text := text.strip()) or not text.isprintable():
        raise Refused(f"a task is one line of text, not {text!r}")
    return text


class Tasks(goes.Aggregate, name="tasks"):
    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.tasks: dict[int, Task] = {}
        self.count = 0  # numbers are not used twice
        self.undoable: list[Change] = []
        self.redoable: list[Change] = []

    def by_number(self) -> list[Task]:
        return sorted(self.tasks.values(), key=lambda task: task.number)

    def add(self, texts: list[str]) -> None:
        self.record(Added(tuple(Task(self.count + index, line(text)) for index, text in enumerate(texts, 1))))

    def done(self, numbers: list[int]) -> None:
        before = self._some([*dict.fromkeys(numbers)])
        if finished := [task.number for task in before if task.done]:
            raise Refused(f"task {finished[0]} is done already")
        self.record(Changed(before, tuple(replace(task, done=True) for task in before)))

    def edit(self, number: int, text: str) -> None:
        before = self._some([number])
        self.record(Changed(before, tuple(replace(task, text=line(text)) for task in before)))

    def remove(self, numbers: list[int]) -> None:
        self.record(Removed(self._some([*dict.fromkeys(numbers)])))

    def clear(self) -> None:
        if not (finished := tuple(task for task in self.tasks.values() if task.done)):
            raise Refused("no task is done")
        self.record(Removed(finished))

    def undo(self, times: int = 1) -> None:
        for _ in range(times):
            if not self.undoable:
                raise Refused("there is nothing to undo")
            self.record(compensation(self.undoable[-1]), metadata={"how": "undo"})

    def redo(self, times: int = 1) -> None:
        for _ in range(times):
            if not self.redoable:
                raise Refused("there is nothing to redo")
            self.record(self.redoable[-1], metadata={"how": "redo"})

    def _some(self, numbers: list[int]) -> tuple[Task, ...]:
        if missing := [number for number in numbers if number not in self.tasks]:
            raise Refused(f"there is no task {missing[0]}")
        return tuple(self.tasks[number] for number in numbers)

    @goes.applies(Added, Removed, Changed)
    def _applied(self, event: goes.Event[Change]) -> None:
        match event.data:
            case Added(tasks) | Changed(_, tasks):
                self.tasks |= {task.number: task for task in tasks}
                self.count = max(self.count, *self.tasks)
            case Removed(tasks):
                for task in tasks:
                    del self.tasks[task.number]
        match event.metadata.get("how"):
            case "undo":
                self.redoable.append(self.undoable.pop())
            case "redo":
                self.undoable.append(self.redoable.pop())
            case _:
                self.undoable.append(event.data)
                self.redoable.clear()


# --- the command line ---------------------------------------------------------------------------------------------------

app = typer.Typer(no_args_is_help=True, help="A list of tasks that never forgets.", pretty_exceptions_enable=False)
out = Console(highlight=False)
LIST = "tasks"
"""The id of the aggregate: one list for each file."""

File = Annotated[Path | None, typer.Option("--file", envvar="TASKS_FILE", help="Where the tasks are kept.")]
Numbers = Annotated[list[int], typer.Argument(help="Numbers of tasks.", min=1)]


@app.callback()
def options(context: typer.Context, file: File = None) -> None:
    context.obj = file or Path(typer.get_app_dir("tasks")) / "tasks.db"


@contextmanager
def opened(context: typer.Context) -> Generator[goes.blocking.BlockingDatabase]:
    """Open the file for one command; what goes wrong is a line and an exit code, not a traceback."""
    try:
        context.obj.parent.mkdir(parents=True, exist_ok=True)
        with goes.blocking.connect(context.obj) as db:
            yield db
    except (Refused, goes.errors.GoesError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"[red]tasks:[/] {escape(str(error))}")
        raise typer.Exit(1 if isinstance(error, Refused) else 3) from None


def change(context: typer.Context, how: Callable[[Tasks], None]) -> None:
    """Do one thing to the list, and show it. Another process may do something at the same time: then it is decided again."""
    with opened(context) as db:
        lists = db.repository(Tasks)
        lists.use(LIST, how, create=True)
        show(lists.fetch(LIST))


def show(tasks: Tasks) -> None:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for task in tasks.by_number():
        mark, style = ("[green]✓[/]", "dim strike") if task.done else ("·", "")
        table.add_row(
            f"[cyan]{task.number}[/]", mark, f"[{style}]{escape(task.text)}[/]" if style else escape(task.text)
        )
    out.print(table if tasks.tasks else "[dim]nothing to do[/]")


@app.command()
def add(context: typer.Context, texts: Annotated[list[str], typer.Argument(help="What is to be done.")]) -> None:
    """Add tasks."""
    change(context, lambda tasks: tasks.add(texts))


@app.command()
def done(context: typer.Context, numbers: Numbers) -> None:
    """Mark tasks as done."""
    change(context, lambda tasks: tasks.done(numbers))


@app.command()
def edit(context: typer.Context, number: int, text: str) -> None:
    """Give a task another text."""
    change(context, lambda tasks: tasks.edit(number, text))


@app.command()
def remove(context: typer.Context, numbers: Numbers) -> None:
    """Remove tasks."""
    change(context, lambda tasks: tasks.remove(numbers))


@app.command()
def clear(context: typer.Context) -> None:
    """Remove all tasks that are done."""
    change(context, Tasks.clear)


Times = Annotated[int, typer.Argument(help="How many changes.", min=1)]


@app.command()
def undo(context: typer.Context, times: Times = 1) -> None:
    """Take back the last change, or the last few."""
    change(context, lambda tasks: tasks.undo(times))


@app.command()
def redo(context: typer.Context, times: Times = 1) -> None:
    """Make a change again that was taken back."""
    change(context, lambda tasks: tasks.redo(times))


@app.command("list")
def show_list(
    context: typer.Context,
    at: Annotated[str | None, typer.Option(help="As it was: a version, or a time such as 2026-03-01T12:00.")] = None,
    output: Annotated[Literal["text", "json"], typer.Option(help="For people, or for programs.")] = "text",
) -> None:
    """Show the tasks, as they are or as they were."""
    try:
        when = None if at is None else int(at) if at.isdigit() else datetime.fromisoformat(at).astimezone()
    except ValueError:
        raise typer.BadParameter(f"a version or a time, not {at!r}", param_hint="--at") from None
    with opened(context) as db:
        lists = db.repository(Tasks)
        try:
            tasks = lists.fetch(LIST, create=True) if when is None else lists.fetch_version(LIST, when)
        except (goes.errors.AggregateNotFound, goes.errors.VersionNotFound) as error:
            raise Refused(str(error)) from None
    if output == "json":
        print(json.dumps([asdict(task) for task in tasks.by_number()], ensure_ascii=False))
    else:
        show(tasks)


@app.command()
def history(context: typer.Context, last: Annotated[int, typer.Option(help="How many changes.", min=1)] = 20) -> None:
    """Show what was done, and what was undone."""
    signs: dict[type, str] = {Added: "[green]+[/]", Removed: "[red]-[/]", Changed: "[yellow]~[/]"}
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for title in ("version", "when", "", "", "what"):
        table.add_column(title, justify="right" if title == "version" else "left")
    with opened(context) as db:
        for event in db.events.load(goes.AggregateRef("tasks", LIST))[-last:]:
            tasks = event.data.after if isinstance(event.data, Changed) else event.data.tasks
            what = ", ".join(f"{task.number} {task.text}{' ✓' * task.done}" for task in tasks)
            when = f"{event.time.astimezone():%Y-%m-%d %H:%M:%S}"
            how = f"[magenta]{event.metadata.get('how', '')}[/]"
            table.add_row(str(event.version), when, how, signs[type(event.data)], escape(what))
    out.print(table)


if __name__ == "__main__":
    app()
