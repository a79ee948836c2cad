"""Drives the window of examples/recipes/desktop.py as a person does, told by lines: `python desktop_driver.py FILE`.

It prints what the window shows, each time that this changes.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton

from tests.examples import example_kit


class Lines(QObject):
    """What is told on standard input."""

    said = Signal(str)

    def read(self) -> None:
        for line in sys.stdin:
            self.said.emit(line.strip())
            if line == "close\n":
                return  # a thread that still reads when Qt is gone would end the process with a crash


class Driver(QObject):
    def __init__(self, window: Any) -> None:
        super().__init__()
        self.window = window

    def obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        match word:
            case "write":
                QTest.keyClicks(self.window.entry, rest)
                QTest.keyClick(self.window.entry, Qt.Key.Key_Return)
            case "forward" | "back":
                self.press("→" if word == "forward" else "←", rest)
            case "ping":
                print("pong", flush=True)
            case "grab":
                print("grabbed", self.window.grab().save(rest), flush=True)
            case _:
                self.window.close()

    def press(self, title: str, text: str) -> None:
        for number, column in enumerate(self.window.lists):
            for item in column.findItems(text, Qt.MatchFlag.MatchExactly):
                column.setCurrentItem(item)
                buttons = [button for button in self.window.findChildren(QPushButton) if button.text() == title]
                QTest.mouseClick(buttons[number], Qt.MouseButton.LeftButton)

    def tell(self) -> None:
        lists = [sorted(column.item(row).text() for row in range(column.count())) for column in self.window.lists]
        print("shows", json.dumps(lists), "|", self.window.status.text(), flush=True)


def main() -> int:
    desktop: Any = example_kit.module("recipes/desktop")
    app = QApplication(sys.argv)
    window = desktop.Window(sys.argv[1])
    driver, lines = Driver(window), Lines()
    window.store.changed.connect(driver.tell)
    window.store.failed.connect(driver.tell)
    lines.said.connect(driver.obey)
    window.show()
    reader = threading.Thread(target=lines.read, daemon=True)
    reader.start()
    code = app.exec()
    reader.join()
    print("closed", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
