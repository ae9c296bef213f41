"""The output of the demo: progress while it runs, tables at the end."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from cachemw.cli.demo.figures import LONG_ENOUGH, Figures, ResponseTimes, Run, Target
from cachemw.cli.demo.restarts import RestartResult
from cachemw.cli.demo.rollback import RollbackResult
from cachemw.ops.load.replay import ORIGIN, Replay
from cachemw.ops.load.staleness import BOUND

__all__ = ["Screen", "draw_figures", "print_figures", "print_rollout"]

_TIERS = {
    "memory": "memory (its own process)",
    "shared": "Valkey",
    "collapsed": "another request's answer (coalesced)",
    "stale": "stale, while refreshed or Valkey was away",
    ORIGIN: "the shop itself",
}


class Screen:
    """Progress of the runs: a bar on a terminal, four lines for each run elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bars: Progress | None = None

    def print_line(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, highlight=False, soft_wrap=True)

    @contextmanager
    def run(self, name: str, seconds: float) -> Iterator[RunProgress]:
        """Show the progress of a run until the block ends."""
        if not self.console.is_terminal:
            self.print_line(f"{name}: {seconds:.0f} s")
            yield RunProgress(name, seconds, self, None)
            return
        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, refresh_per_second=5) as bars:
            task = bars.add_task(name, total=seconds, facts="")
            yield RunProgress(name, seconds, self, (bars, task))
            bars.update(task, completed=seconds)


class RunProgress:
    """The progress of one run on the screen."""

    def __init__(
        self, name: str, seconds: float, screen: Screen, bar: tuple[Progress, TaskID] | None
    ) -> None:
        self._name = name
        self._seconds = seconds
        self._screen = screen
        self._bar = bar
        self._quarters = 0

    def update(self, replay: Replay) -> None:
        """Show how far the run has come."""
        elapsed = replay.elapsed
        if self._bar:
            bars, task = self._bar
            bars.update(task, completed=min(elapsed, self._seconds), facts=_facts(replay))
        elif (quarters := int(4 * elapsed / self._seconds)) > self._quarters:
            self._quarters = quarters
            self._screen.print_line(f"{self._name}: {elapsed:.0f} s, {_facts(replay)}")


def _facts(replay: Replay) -> str:
    reads = [sample.tier for sample in replay.samples if not sample.is_write]
    hits = sum(tier != ORIGIN for tier in reads) / len(reads) if reads else 0.0
    failed = f"{len(replay.failures)} failed"
    return f"{len(replay.samples):,} answers, {hits:.0%} hits, {failed}"


def print_figures(
    console: Console, figures: Figures, *, wrap: bool = False, verdict: bool = True
) -> None:
    """Print the tables and the verdict; `wrap` breaks long lines, as a picture needs."""
    console.print()
    console.print(_latency_table(figures))
    console.print(_tier_table(figures.after))
    console.print(_notes(figures), highlight=False, soft_wrap=not wrap)
    console.print(_target_table("Targets", figures.all_targets))
    for run in (figures.before, figures.after):
        for line in (*run.failures[:10], *run.stale_examples):
            console.print(f"  {line}", style="red", markup=False, highlight=False, soft_wrap=True)
    if verdict:
        console.print(_verdict(figures))


def print_rollout(console: Console, figures: Figures) -> None:
    """Print how the rollout ended, its targets, and the verdict on the whole demo."""
    assert figures.rolled_back is not None
    console.print(_rollback_line(figures.rolled_back), highlight=False, soft_wrap=True)
    if figures.rolled_back.restarts is not None:
        line = _restart_line(figures.rolled_back.restarts)
        console.print(line, highlight=False, soft_wrap=True)
    console.print()
    console.print(_target_table("Targets of the rollout", figures.rollout_targets))
    console.print(_verdict(figures))


_MARKS = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "-"}


def _verdict(figures: Figures) -> str:
    if not figures.met:
        return "[red]Not all targets met.[/red]"
    if all(target.met for target in figures.all_targets):
        return "[green]All targets met.[/green]"
    return (
        "[green]All targets met[/green] but those of speed (-), which a run of fewer than"
        f" {LONG_ENOUGH:g} seconds cannot show."
    )


def _rollback_line(result: RollbackResult) -> str:
    """Return a line that says how the rollout ended."""
    if not result.guardrail:
        return "[red]✗ The rollout was not rolled back.[/red]"
    if not result.seconds:
        return f"[red]✗ Guardrail {result.guardrail!r} rolled back before Valkey became slow.[/red]"
    mark = "[green]✓[/green]" if result.met else "[red]✗[/red]"
    return (
        f"{mark} Rolled back {result.seconds:.1f} s after Valkey became slow, by guardrail"
        f" {result.guardrail!r}: the 95th percentile was {1e3 * result.treated:.0f} ms, and"
        f" {1e3 * result.control:.0f} ms in the holdout. Health check:"
        f" {'all is well' if result.healthy else 'something is wrong'}."
        f" {len(result.failures)} requests failed."
    )


def _restart_line(result: RestartResult) -> str:
    """Return a line that says whether restarted workers left off what was rolled back."""
    if result.problem:
        return f"[red]✗ Workers were to restart while Valkey is away: {result.problem}[/red]"
    if result.served:
        return (
            f"[red]✗ Restarted while Valkey was away, workers served from the cache what was rolled"
            f" back: {result.served} of {result.asked} answers.[/red]"
        )
    if not result.others_served:
        return "[red]✗ A restarted worker served nothing from the cache, not even what is on.[/red]"
    return (
        "[green]✓[/green] Workers that restarted while Valkey was away left off what was rolled back:"
        f" none of {result.asked} answers came from the cache."
    )


def draw_figures(figures: Figures) -> str:
    """Return what `print_figures` prints, as SVG."""
    console = Console(record=True, width=96, file=io.StringIO())
    print_figures(console, figures, wrap=True)
    svg = console.export_svg(title="cachemw demo")
    # Left out: fonts that the picture would load from another host.
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def _latency_table(figures: Figures) -> Table:
    table = Table(title="Response times, ms", title_justify="left")
    for column in ("", "requests", "mean", "p50", "p95", "p99"):
        table.add_column(column, justify="right" if column else "left")
    rows = (
        ("without the cache", figures.before.latency),
        ("with the cache", figures.after.latency),
        ("  of these, Valkey away", figures.while_away),
    )
    for name, latency in rows:
        table.add_row(name, f"{latency.count:,}", *_milliseconds(latency))
    table.add_row("better by", "", *_improvements(figures.before.latency, figures.after.latency))
    return table


def _milliseconds(latency: ResponseTimes) -> list[str]:
    return [f"{1e3 * v:.2f}" for v in (latency.mean, latency.p50, latency.p95, latency.p99)]


def _improvements(before: ResponseTimes, after: ResponseTimes) -> list[str]:
    pairs = (
        (before.mean, after.mean),
        (before.p50, after.p50),
        (before.p95, after.p95),
        (before.p99, after.p99),
    )
    return [f"{1 - now / then:.0%}" if then else "" for then, now in pairs]


def _tier_table(run: Run) -> Table:
    table = Table(title="Who answered the reads, with the cache", title_justify="left")
    table.add_column("")
    table.add_column("reads", justify="right")
    table.add_column("share", justify="right")
    for tier, count in run.tiers.items():
        table.add_row(_TIERS.get(tier, tier), f"{count:,}", f"{count / run.reads:.1%}")
    table.add_section()
    table.add_row(
        "from the cache", f"{run.reads - run.tiers.get(ORIGIN, 0):,}", f"{run.hit_rate:.1%}"
    )
    return table


def _notes(figures: Figures) -> str:
    before, after, outage = figures.before, figures.after, figures.outage
    back = outage.shared_again
    again = "not used again" if back is None else f"used again {back:.1f} s after its return"
    return "\n".join(
        (
            f"The shop ran {before.origin_reads:,} reads without the cache and "
            f"{after.origin_reads:,} with it, by its own count.",
            f"Valkey was killed at {outage.start:.1f} s and back, empty, at {outage.end:.1f} s; "
            f"it was {again}.",
            f"A write must show at once in its own process, and {BOUND:g} s later in the other one."
            f" {after.stale} of {after.judged} answers did not, and {after.stale_away} to writes "
            "while Valkey was away.",
        )
    )


def _target_table(title: str, targets: Sequence[Target]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    table.add_column("")
    for target in targets:
        mark = _MARKS[target.met]
        table.add_row(target.name, target.value, target.target, mark)
    return table
