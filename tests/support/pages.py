"""The programs in pages and docstrings: where they are, how they are run and typed.

A block of Python is a program of its own, complete as a reader would copy it. Comments in a page,
which no reader sees, say what is different:

``.. invisible-code-block: python``
    What the next block needs, and the reader has: a file, a server with another behaviour.
``.. continues: above``
    The next block belongs to the program of the block before it.
``.. skip: next "reason"``
    The next block is not run, as it needs what is missing here; it is compiled and typed.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from greenws import events
from greenws.handlers import HANDLER_NAMES

ROOT = Path(__file__).parents[2]

DIRECTIVE = re.compile(
    r"^( *)\.\. (code-block|invisible-code-block|continues|skip)::? ?(.*)\n"
    r"((?:(?:\1 +.*)?\n)*)",  # all that is indented below
    re.MULTILINE,
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

#: The class of the event that a handler gets, by the name of the handler.
EVENTS = {
    f"on_{item.name}": item.__name__
    for item in vars(events).values()
    if isinstance(item, type) and getattr(item, "name", None) in HANDLER_NAMES
} | {"on_close": "Disconnected"}


@dataclass
class Block:
    """A block of code, at its line of the page."""

    line: int
    source: str


@dataclass
class Program:
    """Blocks that are run one after the other, with the same names."""

    page: Path
    blocks: list[Block] = field(default_factory=list)
    #: The first line of the first block that a reader sees.
    line: int = 0
    #: Why the program is not run; empty: it is run.
    reason: str = ""

    @property
    def name(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def source(self) -> str:
        """The program, each line with the number that it has in the page."""
        lines: list[str] = []
        for block in self.blocks:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.source.splitlines()
        return "\n".join(lines) + "\n"

    @property
    def typed_source(self) -> str:
        """The program for type checkers: with the annotations that the page leaves out.

        The event of a handler has the type that it has in :class:`greenws.Client`.
        """
        lines = self.source.splitlines()
        for item in ast.walk(ast.parse(self.source)):
            if isinstance(item, FUNCTIONS) and not has_annotations(item):
                lines[item.lineno - 1] = annotate(lines[item.lineno - 1], item)
        # Line 1 of a page is its title.
        assert lines[0] == ""
        lines[0] = "import typing as _typing; from greenws import events as _events"
        return "\n".join(lines) + "\n"


def has_annotations(function: Function) -> bool:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return function.returns is not None or any(item.annotation for item in every)


def annotate(line: str, function: Function) -> str:
    """Annotate a function whose head is one line."""
    names = [item.arg for item in function.args.args if item.arg != "self"]
    for name in names:
        kind = f"_events.{EVENTS[function.name]}" if function.name in EVENTS else "_typing.Any"
        line = re.sub(rf"(?<=[(, ]){name}(?=[,)=])", f"{name}: {kind}", line, count=1)
    returns = "_typing.Any" if returns_something(function) else "None"
    head, _colon, comment = line.rpartition("):")
    return f"{head}) -> {returns}:{comment}"


def returns_something(function: Function) -> bool:
    kinds = (ast.Yield, ast.YieldFrom)
    return any(
        isinstance(item, kinds) or (isinstance(item, ast.Return) and item.value is not None)
        for item in ast.walk(function)
    )


def find_pages() -> list[Path]:
    """The pages, and the modules with docstrings, that have code."""
    pages = [ROOT / "README.rst", ROOT / "CONTRIBUTING.rst", *sorted(ROOT.glob("docs/**/*.rst"))]
    pages += sorted(ROOT.glob("greenws/**/*.py"))
    return [path for path in pages if "code-block:: python" in path.read_text(encoding="utf-8")]


def find_programs() -> list[Program]:
    return [program for page in find_pages() for program in read_programs(page)]


def read_programs(page: Path) -> Iterator[Program]:
    program = Program(page)
    done: Program | None = None
    for line, name, argument, source in read_directives(page):
        if name == "continues":
            assert done is not None, f"{page.name}:{line}: nothing is above"
            program, done = done, None
        elif name == "skip":
            action, _space, reason = argument.partition(" ")
            assert action == "next", f"{page.name}:{line}"
            program.reason = reason.strip('"')
            assert program.reason, f"{page.name}:{line}: no reason"
        elif argument == "python":
            program.blocks.append(Block(line, source))
            if name == "code-block":
                program.line = program.line or line
                if done is not None:
                    yield done
                done, program = program, Program(page)
    if done is not None:
        yield done


def read_directives(page: Path) -> Iterator[tuple[int, str, str, str]]:
    """Find the directives of a page: the first line of their code, name, argument and code."""
    text = page.read_text(encoding="utf-8")
    for match in DIRECTIVE.finditer(text):
        _indent, name, argument, body = match.groups()
        code = textwrap.dedent(body)
        stripped = code.lstrip("\n")
        start = text.count("\n", 0, match.start(4)) + 1 + len(code) - len(stripped)
        yield start, name, argument.strip(), stripped.rstrip() + "\n"
