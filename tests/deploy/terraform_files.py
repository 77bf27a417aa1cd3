"""terraform/ as far as tests read it: python-hcl2 parses, nothing evaluates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "terraform/module"
EXAMPLE = ROOT / "terraform/example"
_OPTIONS = hcl2.SerializationOptions(
    with_comments=False, explicit_blocks=False, strip_string_quotes=True
)
_TABLE = Path(__file__).with_name("provider_arguments.txt")
# What every resource may have besides (https://developer.hashicorp.com/terraform/language/resources).
_META = {"for_each", "depends_on"}

Block = dict[str, Any]


def load(folder: Path) -> dict[str, list[Block]]:
    """Kind of block -> the blocks of all files, such as "resource" -> [{type: {name: content}}]."""
    found: dict[str, list[Block]] = {}
    for file in sorted(folder.glob("*.tf")):
        for kind, blocks in hcl2.loads(file.read_text(), serialization_options=_OPTIONS).items():
            found.setdefault(kind, []).extend(blocks)
    return found


def resources(module: dict[str, list[Block]]) -> Iterator[tuple[str, str, Block]]:
    """(type, name, content) of each resource."""
    for block in module["resource"]:
        for kind, named in block.items():
            for name, content in named.items():
                yield kind, name, content


def local_values(module: dict[str, list[Block]]) -> Block:
    return {name: value for block in module["locals"] for name, value in block.items()}


def provider_table() -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """(arguments by type or type.block, with `!` where required; what a type exports besides)."""
    arguments, exports = {}, {}
    for line in _TABLE.read_text().splitlines():
        if line.startswith("#"):
            continue
        left, mark, right = re.match(r"(\S+?)(:| ->) (.*)", line).groups()
        (arguments if mark == ":" else exports)[left] = set(right.split())
    return arguments, exports


def argument_problems(kind: str, content: Block) -> Iterator[str]:
    """What the provider's documents do not know of a resource or block, and what it lacks."""
    arguments, _ = provider_table()
    if kind not in arguments:
        yield f"{kind} is not in {_TABLE.name}"
        return
    dynamic = {
        name: block["content"]
        for blocks in content.get("dynamic", [])
        for name, block in blocks.items()
    }
    given = {name: value for name, value in {**content, **dynamic}.items() if name != "dynamic"}
    for name in given.keys() - _META:
        if not {name, f"{name}!"} & arguments[kind]:
            yield f"{kind} has no {name}"
    for name in sorted(arguments[kind]):
        if name.endswith("!") and name[:-1] not in given:
            yield f"{kind} lacks {name[:-1]}"
    for name, value in given.items():
        for block in value if isinstance(value, list) else []:
            if isinstance(block, dict):
                yield from argument_problems(f"{kind}.{name}", block)


def reference_problems(text: str, module: dict[str, list[Block]]) -> Iterator[str]:
    """References of a module's text that name nothing: resources, exports, variables, locals."""
    arguments, exports = provider_table()
    known = {(kind, name) for kind, name, _ in resources(module)}
    reference = r"\b(google_\w+)\.(\w+)(?:\[[^\]]*\])?(?:\.(\w+))?"
    for kind, name, attribute in re.findall(reference, text):
        if (kind, name) not in known:
            yield f"{kind}.{name} is no resource"
        elif attribute and attribute not in exports.get(kind, set()) | {
            each.rstrip("!") for each in arguments[kind]
        }:
            yield f"{kind}.{name} exports no {attribute}"
    declared = {name for block in module["variable"] for name in block}
    for name in set(re.findall(r"\bvar\.(\w+)", text)) ^ declared:
        yield f"var.{name} is not declared, or not used"
    locals_ = local_values(module)
    for name in set(re.findall(r"\blocal\.(\w+)", text)) ^ set(locals_):
        yield f"local.{name} is not defined, or not used"


def roles(module: dict[str, list[Block]]) -> set[tuple[str, str, str]]:
    """(who, role, on what) of each binding, in the words of docs/deploy.md."""
    values = local_values(module)
    found = set()
    for kind, _, content in resources(module):
        if not kind.endswith("_iam_member"):
            continue
        for who, role in _granted(content, values):
            found |= {(who, role, on) for on in _places(kind, content, values)}
    return found


def names(expression: str, values: Block) -> set[str]:
    """The strings of a set: in itself, and in the locals that it names."""
    quoted = set(re.findall(r'"([^"]+)"', expression))
    return quoted.union(
        *(names(values[n], values) for n in re.findall(r"local\.(\w+)", expression))
    )


def _granted(content: Block, values: Block) -> Iterator[tuple[str, str]]:
    if content["role"] != "${each.value.role}":
        member = content["member"]
        who = re.search(r"local\.(\w+)", member) or re.search(r"var\.(\w+)s", content["for_each"])
        yield _account(who[1]), content["role"]
        return
    bindings = values[re.search(r"local\.(\w+)", content["for_each"])[1]]
    for role, account in re.findall(r'role = "([^"]+)", member = local\.(\w+)', bindings):
        yield _account(account), role
    for who, role in re.findall(r'in var\.(\w+)s : \{role = "([^"]+)"', bindings):
        yield who, role


def _account(name: str) -> str:
    return f"{name} account" if name in ("worker", "build") else name


def _places(kind: str, content: Block, values: Block) -> Iterator[str]:
    place = re.fullmatch(r"google_(\w+)_iam_member", kind)[1]
    if place.startswith("pubsub_"):
        for name in names(content["for_each"], values):
            yield f"{place.removeprefix('pubsub_')} {name}"
    elif place == "service_account":
        yield _account(
            re.search(r"google_service_account\.(\w+)", content["service_account_id"])[1]
        )
    else:
        yield place.split("_")[-1]  # project, bucket, repository
