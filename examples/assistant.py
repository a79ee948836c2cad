"""A durable assistant: each thought and each tool call is a step of a workflow, so a killed assistant goes on where it was.

    python examples/assistant.py "what is 6 * 7, and how many words are in README.md?" [--db assistant.db] [--die-after 2]
    python examples/assistant.py --show

The model is a few lines that look for questions in a text, and the tools work here: nothing needs a network. In place of both,
call the model and the tools of your choice; what is around them stays the same. Each result is stored once, and is not asked for
again: neither after a crash, nor when another process takes over. --die-after N kills the process, as `kill -9` does, right after
the N-th tool call, before its result is stored; run the same line again without it, and see what is repeated and what is not.

What was asked, each call with what it returned, and the answer are events, each once, with the tag of their conversation: --show
reads one (--conversation, "main" by default) from the log.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import importlib.util
import logging
import operator
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes
from goes_lite.errors import StepFailed

registry = goes.Registry()
MOST_STEPS = 10


@registry.event("assistant.asked")
@dataclass(frozen=True)
class Asked:
    question: str
    conversation: str = "main"


@registry.event("assistant.called")
@dataclass(frozen=True)
class Called:
    tool: str
    argument: str
    result: str


@registry.event("assistant.answered")
@dataclass(frozen=True)
class Answered:
    text: str


# --- tools, and a model that uses them --------------------------------------------------------------------------------


OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


def calculate(formula: str) -> str:
    """Return the value of a formula of whole numbers."""

    def value(node: ast.AST) -> int:
        match node:
            case ast.Expression():
                return value(node.body)
            case ast.Constant(int() as number):
                return number
            case ast.BinOp():
                found: int = OPERATORS[type(node.op)](value(node.left), value(node.right))
                return found
            case _:
                raise ValueError(f"no formula of whole numbers: {formula!r}")

    return str(value(ast.parse(formula.strip(), mode="eval")))


def count_words(path: str) -> str:
    """Return how many words are in a text file."""
    return str(len(Path(path).read_text(encoding="utf-8").split()))


TOOLS: dict[str, Callable[[str], str]] = {"calculate": calculate, "count_words": count_words}


@dataclass
class Thought:
    """What the model wants: to call a tool, or to answer."""

    tool: str
    argument: str


@dataclass
class Message:
    """What was found out so far."""

    tool: str
    argument: str
    result: str


def think(question: str, messages: list[Message]) -> Thought:
    """The model: it calls a tool for each part of the question, one after the other, then it answers."""
    wanted = [Thought("calculate", found) for found in re.findall(r"\d+(?: *[-+*] *\d+)+", question)]
    wanted += [Thought("count_words", found) for found in re.findall(r"[\w./-]+\.(?:md|txt)", question)]
    for one in wanted[len(messages) :]:
        return one
    return Thought("", "; ".join(f"{one.tool}({one.argument}) is {one.result}" for one in messages) or "I do not know")


# --- the assistant ----------------------------------------------------------------------------------------------------


class Calls:
    """Says in a file which calls were made, and dies after one of them."""

    def __init__(self, path: Path, die_after: int) -> None:
        self._path = path
        self._left = die_after

    def made(self, call: str, *, of_tool: bool) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(call + "\n")
        self._left -= of_tool
        if of_tool and not self._left:
            os._exit(9)  # as `kill -9`: nothing is finished, nothing is given back


def assistant(calls: Calls) -> Any:
    @goes.flow("assistant", starts_with=Asked)
    async def answer(flow: goes.Flow, asked: goes.Event[Asked]) -> None:
        messages: list[Message] = []
        tags = (tag(asked.data.conversation),)
        for number in range(1, MOST_STEPS + 1):

            def thinking(number: int = number) -> Thought:
                calls.made(f"think {number}", of_tool=False)
                return think(asked.data.question, messages)

            thought = await flow.step(f"think {number}", thinking)
            if not thought.tool:
                flow.publish(Answered(thought.argument), tags=tags)
                return

            def calling(thought: Thought = thought) -> str:
                result = TOOLS[thought.tool](thought.argument)
                calls.made(f"{thought.tool} {thought.argument}", of_tool=True)
                return result

            try:
                result = await flow.step(f"call {number}", calling)
            except StepFailed as error:
                result = f"unknown, as it failed: {error}"
            flow.publish(Called(thought.tool, thought.argument, result), tags=tags, name=f"called {number}")
            messages.append(Message(thought.tool, thought.argument, result))
        flow.fail("it does not come to an answer")

    return answer


def tag(conversation: str) -> str:
    return f"conversation:{conversation}"


async def ask(question: str, conversation: str, path: str, calls: Calls) -> str:
    """Ask a question, or go on with the one that was asked before, and return the answer."""
    key = str(uuid5(NAMESPACE_URL, f"{conversation}/{question}"))
    async with goes.connect(path, registry=registry) as db:
        ref = goes.AggregateRef("question", key)
        if not await db.events.load(ref):
            data = Asked(question, conversation)
            asked = goes.Event(data, aggregate=ref, version=1, tags=[tag(conversation)], registry=registry)
            await db.events.append([asked])
        async with (
            db.workflow(assistant(calls), lease=1.0),
            db.commands.worker(attempts=2, backoff=goes.Backoff(0.01), claim=1.0),
        ):
            query = goes.EventQuery(["assistant.answered"], aggregates=[("workflow:assistant", key)])
            async for event in db.events.follow(query, after=0):
                text: str = event.data.text
                return text
    raise AssertionError("the log has ended")


async def transcript(conversation: str, path: str) -> list[str]:
    """Return what was said and done in a conversation, as the log has it."""
    lines: list[str] = []
    async with goes.connect(path, registry=registry) as db:
        async for event in db.events.query(goes.EventQuery(tags=[tag(conversation)])):
            match event.data:
                case Asked(question):
                    lines.append(f"you:       {question}")
                case Called(tool, argument, result):
                    lines.append(f"  called   {tool}({argument}): {result}")
                case Answered(text):
                    lines.append(f"assistant: {text}")
                case _:
                    pass
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("question", nargs="?")
    parser.add_argument("--conversation", default="main")
    parser.add_argument("--show", action="store_true", help="show the conversation")
    parser.add_argument("--db", default="assistant.db")
    parser.add_argument("--die-after", type=int, default=0, metavar="N", help="die after the N-th tool call")
    arguments = parser.parse_args()
    logging.getLogger("goes_lite").setLevel(logging.CRITICAL)  # a tool that fails is told in the answer
    if arguments.question:
        calls = Calls(Path(f"{arguments.db}.calls"), arguments.die_after)
        print(asyncio.run(ask(arguments.question, arguments.conversation, arguments.db, calls)))
    elif not arguments.show:
        parser.error("a question, or --show")
    if arguments.show:
        print(*asyncio.run(transcript(arguments.conversation, arguments.db)), sep="\n")


if __name__ == "__main__":
    main()
