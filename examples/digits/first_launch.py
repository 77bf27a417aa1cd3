r"""Launches the digits example on Dataflow in a real project, proves it, measures it, removes it.

    make first-launch PROJECT=my-project REGION=europe-west1 BUCKET=my-bucket

looks first at everything that would go wrong later (30 s), then runs a batch job and a stream side
by side: exactly the demo's predictions and dead letters; a better forest, a corrupt one, a
rollback, an update and a drain. It ends with a page, ``build/digits/first-launch/RUN.html``, and
removes all that it made, also after a failure or Ctrl-C. `--dry-run` prints every call and makes
none.

The exit status is 0 only if every assertion holds and nothing is left behind; 2 if nothing was
made, since something is missing.
"""

from __future__ import annotations

import io
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from cloud import page, settings
from cloud.bounds import RunError
from cloud.clean_up import remove_all
from cloud.findings import Findings
from cloud.play import Play
from cloud.preflight import Preflight, Verdict
from cloud.rest import ApiError, Google, Json, Rest, Told
from cloud.settings import Settings

NEEDED = {"models/forest/1": "train.py", "records": "make_records.py", "out": "../../main.py"}


def say(line: str) -> None:
    """Prints a line at once, also if nobody reads any more: jobs are removed all the same."""
    try:
        print(line, flush=True)
    except (OSError, ValueError):
        sys.stdout = io.StringIO()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line; the exit status."""
    told = settings.parse(argv)
    say(f"run {told.run_id}: project {told.project}, {told.region}, everything in {told.folder}")
    try:
        rest = Told(_answers(told), say) if told.dry_run else Google(told.project, told.endpoint)
        if told.remove:
            return 1 if remove_all(rest, told, say) else 0
        for name, script in NEEDED.items():
            if not (told.output_dir / name).exists():
                say(f"Not started: {told.output_dir / name} is missing, which {script} makes")
                return 2
        verdicts = look(rest, told)
    except ApiError as error:
        say(f"Not started: {error}")
        return 2
    if any(each.problem for each in verdicts) and not told.dry_run:
        say("Not started: nothing was made")
        return 2
    return play(rest, told, verdicts)


def look(rest: Rest, told: Settings) -> list[Verdict]:
    """The preflight, told as it goes."""
    say("looking at what is needed")
    verdicts = []
    for verdict in Preflight(rest, told).verdicts():
        verdicts.append(verdict)
        if not told.dry_run:
            outcome = f"PROBLEM: {verdict.problem}" if verdict.problem else verdict.found
            say(f"  {verdict.what}: {outcome}")
    return verdicts


def play(rest: Rest, told: Settings, verdicts: list[Verdict]) -> int:
    """The run, the removal and the page, in this order whatever happens; the exit status."""
    findings = Findings(say, is_dry=told.dry_run)
    run = Play(rest, told, findings, say)
    problem = ""
    with _Interrupts():
        try:
            run.run()
        except (RunError, ApiError) as error:
            problem = str(error)
        except KeyboardInterrupt:
            problem = "interrupted"
        except Exception as error:
            say(traceback.format_exc())
            problem = f"{type(error).__name__}: {error}"
        finally:
            with _Deaf():
                left = remove_all(rest, told, say, run.launched)
        say("measuring")
        with suppress(KeyboardInterrupt):
            run.measure()
    if told.dry_run:
        return 0
    good = findings.all_hold and not problem
    verdict = "Every assertion holds." if good else f"Not everything holds. {problem}".strip()
    page.write(told.page, told.run_id, verdict, findings, verdicts, left)
    say(f"{verdict}\nreport: {told.page}")
    return 0 if good and not left else 1


class _Signals:
    """Hands the signals that end a process to `_take`, but for those that are ignored (nohup)."""

    def __enter__(self) -> None:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        heard = [each for each in numbers if signal.getsignal(each) is not signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._take) for number in heard}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        raise NotImplementedError


class _Interrupts(_Signals):
    """Makes SIGTERM and a closed terminal end a run as Ctrl-C does, so that all is removed."""

    def _take(self, number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt


class _Deaf(_Signals):
    """While all is removed a signal only tells that it is."""

    def _take(self, number: int, frame: FrameType | None) -> None:
        say("removing what the run made; wait for the end, or it costs on")


def _answers(told: Settings) -> dict[str, Json]:
    """What the calls of a dry run are answered."""
    machine = {"guestCpus": 2, "memoryMb": 8192}
    return {
        "/flexTemplates:launch": {"job": {"id": "JOB_ID"}},
        f"/regions/{told.region}": {"zones": [f"zones/{told.region}-a"]},
        f"/machineTypes/{told.machine_type}": machine,
        f"/machineTypes/{told.launcher_machine_type}": machine,
        "/jobs": {"jobs": [{"id": "JOB_ID", "name": told.job(name)} for name in settings.JOBS]},
    }


if __name__ == "__main__":
    sys.exit(main())
