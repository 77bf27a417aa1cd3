"""What the code in a TorchScript archive could do to files, found before PyTorch reads it.

`torch.jit.load` compiles the code in an archive, and runs its `__setstate__` methods at once. That
code can call every registered operator, so `torch.save` writes any file and `torch.from_file` reads
any. It is looked at as text, because only running it would tell more: names of operators are plain
words in it, or texts given to `getattr`. What `torch.jit.save` never writes (a comment, a text in
single quotes) is refused: here it would only help to hide a word.

The members are read by PyTorch's own reader, so that both see the same archive.

Source: torch/csrc/jit/serialization/import_source.cpp (names), python_print.cpp (what is written)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.backends.torch.operators import CLASS_NAMESPACES, FILE_OPERATORS, only_computes
from pipeline.errors import UntrustedArtifactError
from pipeline.spec.plain_data import shown

_TOKEN = re.compile(
    r'[A-Za-z_][A-Za-z0-9_]*|[0-9]|"(?:[^"\\\n]|\\.)*"|[-+*/%@&|^~<>=!(){}\[\],.:;]|\s+', re.ASCII
)
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|(.))")
_OLD_PROGRAM = "model.json"


def check_code(path: Path) -> None:
    """Makes sure that the code in an archive calls nothing that reads or writes files.

    Raises:
      UntrustedArtifactError: it does, or hides what it calls; says where and what.
      RuntimeError: it is damaged.
    """
    for problem in _problems(path):
        raise UntrustedArtifactError(
            f"{path} {problem}, which can read or write files of this machine; save the network "
            "again without it, or set `trusted: true` on the model if the file is your own"
        )


def _problems(path: Path) -> Iterator[str]:
    import torch

    reader = torch._C.PyTorchFileReader(str(path))
    for name in reader.get_all_records():
        if name.lower() == _OLD_PROGRAM:
            yield f"has the member {name}, a program of an old format"
        if name.lower().endswith(".py"):  # PyTorch finds members whatever their case
            code = reader.get_record(name).decode("latin-1")
            for problem, place in _problems_of_code(code):
                line = code.count("\n", 0, place) + 1
                yield f"{problem} (line {line} of {name})"


def _problems_of_code(code: str) -> Iterator[tuple[str, int]]:
    """What the code has that it must not, and where."""
    tokens, places, position = [], [], 0
    while position < len(code):
        found = _TOKEN.match(code, position)
        if found is None or code.startswith('"""', position):
            yield f"has {shown(code[position : position + 20])} in its code", position
            return
        if not found[0].isspace():
            tokens.append(found[0])
            places.append(position)
        position = found.end()
    named_by_text = "getattr" in tokens
    for index, token in enumerate(tokens):
        before, after = tokens[index - 1] if index else "", tokens[index + 1 : index + 7]
        if token.startswith('"'):
            problem = _problem_of_text(token, before, after) if named_by_text else ""
        else:
            problem = _problem_of_name(token, before, after)
        if problem:
            yield problem, places[index]


def _problem_of_text(token: str, before: str, after: Sequence[str]) -> str:
    """A text may name an attribute: `getattr(x, "name")`. Two texts in a row are one."""
    if after and after[0].startswith('"'):
        return f"has {shown(token)} and {shown(after[0])} in a row in its code"
    name = _ESCAPE.sub(_character, token[1:-1])
    return f"calls {name}" if before == "," and name in FILE_OPERATORS else ""


def _problem_of_name(token: str, before: str, after: Sequence[str]) -> str:
    """A name of an operator, or of where operators and classes are found."""
    if before == ".":  # of `torch`, or of any value; else it is an attribute's declaration
        return f"calls {token}" if token in FILE_OPERATORS else ""
    # Without what is looked for behind it, a name could be given another one, which hides the rest.
    first, second, third = _names(after)
    if token == "ops" and not only_computes(first, second):
        return f"calls {'.'.join((token, first, second)).rstrip('.')}"
    if token == "__torch__":
        if not first or (first == "torch" and not second):
            return f"has {'.'.join((token, first)).rstrip('.')} without a name in it"
        if (first, second) == ("torch", "classes") and third not in CLASS_NAMESPACES:
            return f"uses the class torch.classes.{third}".rstrip(".")
    return ""


def _names(after: Sequence[str]) -> tuple[str, str, str]:
    """The first three names behind a name, each after a dot; empty where there are no more."""
    names = []
    for dot, name in zip(after[0::2], after[1::2], strict=False):
        if dot != ".":
            break
        names.append(name)
    first, second, third = [*names, "", "", ""][:3]
    return first, second, third


def _character(escape: re.Match[str]) -> str:
    octal, hexadecimal, other = escape.groups()
    if other is not None:
        return other
    return chr(int(octal, 8) if octal else int(hexadecimal, 16))
