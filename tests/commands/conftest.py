"""Commands in this process."""

import pytest

from tests.commands.running import runner


@pytest.fixture
def run(capsys):
    return runner(capsys)
