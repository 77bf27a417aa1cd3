"""The typed names of Beam's base classes: at run time they are Beam's own."""

import ast
from pathlib import Path

import pytest

from pipeline.runner import beam_types

CLASSES = [
    node
    for node in ast.walk(ast.parse(Path(beam_types.__file__).read_text()))
    if isinstance(node, ast.ClassDef)
]


@pytest.mark.parametrize("declared", CLASSES, ids=lambda node: node.name)
def test_declared_class_is_beams_and_has_the_declared_members(declared):
    found = getattr(beam_types, declared.name)
    assert found.__module__.startswith("apache_beam")
    for member in declared.body:
        if isinstance(member, ast.FunctionDef):
            assert hasattr(found, member.name)
        elif isinstance(member, ast.AnnAssign):
            assert hasattr(found, member.target.id)


def test_every_exported_name_is_declared():
    assert {node.name for node in CLASSES} == set(beam_types.__all__)
