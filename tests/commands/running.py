"""A command of `python -m pipeline` in this process, and what it printed."""

from dataclasses import dataclass

from pipeline.commands.command_line import main


@dataclass
class Done:
    status: int
    out: str
    err: str


def runner(capsys):
    """``run("status", folder)`` -> Done."""

    def run(*argv):
        capsys.readouterr()
        status = main([str(word) for word in argv])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Done(status, captured.out, captured.err)

    return run
