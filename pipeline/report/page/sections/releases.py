"""The releases that served, the proposals, and the model versions in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pipeline.batch.release import ModelVersion, Release
from pipeline.readable import shown_uri
from pipeline.report import quantities
from pipeline.report.page import moments
from pipeline.report.page.facts import RunFacts
from pipeline.report.page.markup import Child, Markup, element, fragment
from pipeline.report.page.tables import table
from pipeline.report.statistics.run import LoadedModel, RunStatistics
from pipeline.report.statistics.served import Served


def releases(statistics: RunStatistics, facts: RunFacts) -> Markup:
    """What each release did; in a stream, the outcomes of proposals."""
    parts: list[Child] = [_served(statistics)]
    if facts.streaming:
        parts += [element("h3", "Proposals"), _proposals(statistics)]
    return fragment(parts)


def models(statistics: RunStatistics, facts: RunFacts) -> Markup:
    """The versions that served, with device and size as reported by the processes."""
    served = {version for release in statistics.releases.each for version in release.versions}
    versions = served | set(facts.release.versions)
    frameworks = {model.name: model.framework for model in facts.graph.models}
    loaded: dict[ModelVersion, list[LoadedModel]] = defaultdict(list)
    for model in statistics.models:
        loaded[model.version].append(model)
    return table(
        ("Model", "Version", "Framework", "Runs on", "Size in memory", "Files"),
        [
            (
                version.model,
                version.label,
                frameworks.get(version.model, "\N{EM DASH}"),
                _devices(loaded[version]),
                _sizes(loaded[version]),
                _files(version),
            )
            for version in sorted(versions)
        ],
        caption="Model versions",
        numeric=(4,),
    )


def _counts(did: Served) -> tuple[Child, ...]:
    return (
        quantities.count(did.predictions),
        quantities.count(did.dead_letters),
        moments.moment(moments.from_us(did.first_us)),
        moments.moment(moments.from_us(did.last_us)),
    )


def _served(statistics: RunStatistics) -> Markup:
    releases = statistics.releases
    if not releases.each:
        return element("p", "None served a record.")
    served = sorted(releases.settled.items(), key=lambda item: item[0].generation)
    before = [releases.earlier] if releases.earlier is not None else []
    everything = [*before, *(did for _, did in served)]
    without = statistics.dead_letters - sum(did.dead_letters for did in everything)
    note = None
    if without:
        note = element(
            "p",
            f"{quantities.count(without)} dead letters failed before a release was assigned: they "
            "could not be read, decoded or prepared.",
            class_="note",
        )
    made = table(
        (
            "Generation",
            "Release",
            "Models",
            "Predictions",
            "Dead letters",
            "First (UTC)",
            "Last (UTC)",
        ),
        [
            *(("earlier", "", "", *_counts(did)) for did in before),
            *(
                (
                    str(release.generation),
                    element("span", release.release_id, class_="code"),
                    _models(release),
                    *_counts(did),
                )
                for release, did in served
            ),
        ],
        caption="Releases that served",
        numeric=(0, 3, 4),
    )
    return fragment([made, note])


def _proposals(statistics: RunStatistics) -> Markup:
    if not statistics.events:
        return element("p", "None.")
    return table(
        ("Time (UTC)", "What became of it", "Generation", "Models", "Proposed by", "Reason"),
        [
            (
                moments.moment(moments.from_us(event.time_us)),
                event.outcome.replace("_", " "),
                str(event.generation or "\N{EM DASH}"),
                _long(event.models),
                _long(event.source),
                _long(event.reason),
            )
            for event in statistics.events
        ],
        caption="Proposed releases",
        numeric=(2,),
    )


def _models(release: Release) -> Markup:
    return _long(", ".join(f"{version.model} {version.label}" for version in release.versions))


def _long(text: str) -> Markup:
    """A cell whose text may be broken anywhere but which keeps a least width."""
    return element("span", text or "\N{EM DASH}", class_="long")


def _devices(loaded: Iterable[LoadedModel]) -> str:
    return ", ".join(sorted({model.device for model in loaded})) or "not loaded"


def _sizes(loaded: Iterable[LoadedModel]) -> str:
    sizes = sorted({model.size_bytes for model in loaded})
    return ", ".join(quantities.size(size) for size in sizes) or "\N{EM DASH}"


def _files(version: ModelVersion) -> Markup:
    digest = element("small", f" {version.digest[:12]}", title="digest")
    return element("span", shown_uri(version.uri), digest, class_="code long")
