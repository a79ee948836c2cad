"""A desktop program with PySide6: a board of cards that several people have open, each in a window of their own.

    pip install goes-lite PySide6_Essentials
    python3 examples/recipes/desktop.py board.db
    python3 examples/recipes/desktop.py board.db        # a second window: each shows what the other does

The window never waits for the disk: threads have the store, do what the window asks for, and tell it by signals what happened.
What another process does arrives in the same way. docs/recipe-desktop.md explains each part.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QCloseEvent, QFont
from PySide6.QtWidgets import (
    QApplication,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, BlockingPages

# --- the domain: nothing here knows that there is a window --------------------------------------------------------------

COLUMNS = ("to do", "doing", "done")


@goes.event("card.written")
@dataclass(frozen=True)
class Written:
    text: str


@goes.event("card.moved")
@dataclass(frozen=True)
class Moved:
    column: int


class Card(goes.Aggregate, name="card"):
    column: int = 0

    def write(self, text: str) -> None:
        if not text.strip():
            raise ValueError("a card needs a text")
        self.record(Written(text.strip()))

    def move(self, by: int) -> None:
        if not 0 <= self.column + by < len(COLUMNS):
            raise ValueError(f"there is nothing beyond {COLUMNS[self.column]!r}")
        self.record(Moved(self.column + by))

    @goes.applies(Written)
    def _written(self, event: goes.Event[Written]) -> None:
        self.column = 0

    @goes.applies(Moved)
    def _moved(self, event: goes.Event[Moved]) -> None:
        self.column = event.data.column


@dataclass
class Shown:
    """What a window shows of a card."""

    id: str = ""
    text: str = ""
    column: int = 0


class Board(goes.ModelProjection[Shown], name="board"):
    def initial(self, id: str) -> Shown:
        return Shown(id)

    @goes.projects(Written)
    def written(self, card: Shown, event: goes.Event[Written]) -> None:
        card.text = event.data.text

    @goes.projects(Moved)
    def moved(self, card: Shown, event: goes.Event[Moved]) -> None:
        card.column = event.data.column


def write(db: BlockingDatabase, text: str) -> None:
    db.repository(Card).use(goes.new_id(), lambda card: card.write(text), create=True)


def move(db: BlockingDatabase, id: str, by: int) -> None:
    db.repository(Card).use(id, lambda card: card.move(by))


# --- the store: in threads, so that a window never waits ----------------------------------------------------------------

Work = Callable[[BlockingDatabase], object]


class Store(QObject):
    """A store that works in the background. Its signals arrive in the thread of whoever is connected to them."""

    changed = Signal(list)
    """Cards, as they are now: all of them at the beginning, then each that anybody changes."""
    failed = Signal(str)

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="store")

    def start(self) -> None:
        self._thread.start()

    def do(self, work: Work) -> None:
        """Have something done, after all that was asked for before, and return at once."""
        self._work.put(work)

    def stop(self) -> None:
        """Finish what was asked for, and close the store."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with goes.blocking.connect(self._url) as db, db.projection(Board(), lease=2) as board:
                begin = db.events.head()
                pages = db.events.follow(after=begin)
                follower = Thread(target=self._follow, args=(db, board, begin, pages), name="follower")
                follower.start()
                try:
                    self._obey(db)
                finally:
                    pages.close()  # this ends the follower, which waits for the next event
                    follower.join()
        except goes.errors.GoesError as error:
            self.failed.emit(str(error))

    def _obey(self, db: BlockingDatabase) -> None:
        while work := self._work.get():
            try:
                work(db)
            except (ValueError, goes.errors.GoesError) as error:
                self.failed.emit(str(error))

    def _follow(
        self,
        db: BlockingDatabase,
        board: goes.blocking.BlockingProcessor,
        begin: int,
        pages: BlockingPages[goes.Event[Any]],
    ) -> None:
        """Read the board, then each card that an event is about. What is read may be newer than the event; never older."""
        cards = db.models_of("board", Shown)
        try:
            board.wait_for(begin)
            self.changed.emit(cards.query(order_by="id").list())
            while events := pages.next_page():
                board.wait_for(events[-1].position)
                changed = cards.find_many({event.aggregate_id for event in events})
                self.changed.emit([*changed.values()])
        except goes.errors.GoesError as error:
            self.failed.emit(str(error))


# --- the window ---------------------------------------------------------------------------------------------------------


class Window(QWidget):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.setWindowTitle(f"Board – {url}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)  # by Qt: at the end of Python, it would be too late
        self.resize(640, 360)
        self.entry = QLineEdit(placeholderText="What is to be done?")
        self.entry.returnPressed.connect(self.write)
        self.lists = [QListWidget() for _ in COLUMNS]
        self.status = QLabel("opening …")
        self.items: dict[str, QListWidgetItem] = {}

        bold = QFont()
        bold.setBold(True)
        outer, columns = QVBoxLayout(self), QHBoxLayout()
        outer.addWidget(self.entry)
        outer.addLayout(columns)
        outer.addWidget(self.status)
        for number, (title, column) in enumerate(zip(COLUMNS, self.lists, strict=True)):
            stack, buttons = QVBoxLayout(), QHBoxLayout()
            heading = QLabel(title)
            heading.setFont(bold)
            stack.addWidget(heading)
            stack.addWidget(column)
            stack.addLayout(buttons)
            for text, by in (("←", -1), ("→", +1)):
                button = QPushButton(text)
                button.setEnabled(0 <= number + by < len(COLUMNS))
                button.clicked.connect(partial(self.move_card, number, by))
                buttons.addWidget(button)
            columns.addLayout(stack)

        self.store = Store(url)
        self.store.changed.connect(self.show_cards)
        self.store.failed.connect(self.status.setText)
        self.store.start()

    def write(self) -> None:
        self.store.do(partial(write, text=self.entry.text()))
        self.entry.clear()

    def move_card(self, column: int, by: int) -> None:
        for item in self.lists[column].selectedItems():
            id = item.data(Qt.ItemDataRole.UserRole)
            self.store.do(partial(move, id=id, by=by))

    def show_cards(self, cards: list[Shown]) -> None:
        """Called in the thread of the window, whoever has changed the cards."""
        for card in cards:
            item = self.items.get(card.id)
            if item is None:
                item = self.items[card.id] = QListWidgetItem(card.text)
                item.setData(Qt.ItemDataRole.UserRole, card.id)
            else:
                item.listWidget().takeItem(item.listWidget().row(item))
            self.lists[card.column].addItem(item)
        self.status.setText(f"{len(self.items)} cards")

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 (a name of Qt)
        self.store.stop()
        super().closeEvent(event)


def main() -> int:
    app = QApplication(sys.argv)
    window = Window(sys.argv[1] if len(sys.argv) > 1 else "board.db")
    window.show()
    return app.exec()


if __name__ == "__main__":
    sys.exit(main())
