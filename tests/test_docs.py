"""What the documents say can be done, somebody tried, or it says that nobody could."""

import re
from pathlib import Path

import pytest

from tests.deploy.recipes import launch_recipes

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
NOT_RUN_HERE = ("# needs a project\n", "# needs Docker\n")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_command_blocks_are_run_by_a_test_or_say_that_they_need_the_cloud(document):
    """`sh`: run where the document has its test; `bash`: a launch that is run against a stand-in,
    variables, or marked."""
    launches = "\n".join(launch_recipes(document.read_text()))
    for language, block in BLOCK.findall(document.read_text()):
        if language == "bash":
            only_variables = all(line.startswith("export ") for line in block.splitlines())
            assert block in launches or only_variables or block.startswith(NOT_RUN_HERE), block
        if language == "sh":
            assert document.name in RUN_BY_A_TEST, f"no test runs the commands of {document}"


RUN_BY_A_TEST = {"README.md", "commands.md"}  # test_readme.py


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_to_files_of_the_project_lead_somewhere(document):
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", document.read_text())
    for target in targets:
        if "://" not in target:
            assert (document.parent / target).exists(), target
