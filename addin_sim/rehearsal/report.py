"""What a rehearsal tells at its end: one page for people, one object for programs."""

from collections import Counter

from addin_sim.rehearsal.judgement import Deviation, Kind
from addin_sim.rehearsal.performance import Result, Script
from addin_sim.rehearsal.timings import Step, Summary
from addin_sim.terminal import printable

_STEPS = {
    Step.FIND: "find the IME certificate",
    Step.WRITE: "write (2.0: sign and encrypt)",
    Step.SUBMIT: "submit to the mail server",
    Step.ARRIVE: "arrive in a recipient's Inbox",
    Step.OPEN: "open and compare",
    Step.FILE: "copy filed in Sent Items",
}
_EXAMPLES = 5


def as_object(result: Result, script: Script, users: int, steps: dict[Step, Summary]) -> dict[str, object]:
    """For `--json`: times in seconds, rates in mails per second; every kind of deviation with its count."""
    tally = result.tally
    counts = Counter(deviation.kind for deviation in result.deviations)
    return {
        "run": result.run,
        "users": users,
        "interrupted": result.interrupted,
        "ime": [f"{version}.0" for version in script.versions],
        "sending_seconds": round(result.sending, 3),
        "settling_seconds": round(result.settling, 3),
        "processor_seconds": round(result.processor, 3),
        "mails": {
            "sent": tally.sent,
            "ime1": tally.by_version.get(1, 0),
            "ime2": tally.by_version.get(2, 0),
            "refused": tally.refused,
            "under_way": tally.under_way,
            "per_second": round(sent_rate(result), 2),
        },
        "deliveries": {"expected": tally.deliveries, "arrived": tally.arrived},
        "copies_filed": tally.copies_filed,
        "seen_per_second": round(seen_rate(result), 2),
        "slow_seconds": script.slow,
        "steps": {
            step.value: {
                "count": found.count,
                **{name: round(getattr(found, name), 4) for name in ("p50", "p95", "p99", "longest")},
            }
            for step, found in steps.items()
        },
        "deviations": {kind.value: counts.get(kind, 0) for kind in Kind},
        "details": [
            {
                "kind": deviation.kind.value,
                "person": deviation.person,
                "message_id": deviation.message_id or None,
                "sentence": deviation.sentence,
            }
            for deviation in result.deviations
        ],
    }


def as_text(result: Result, users: int, steps: dict[Step, Summary]) -> str:
    """For people."""
    tally = result.tally
    versions = " and ".join(f"{count} IME {version}.0" for version, count in sorted(tally.by_version.items()))
    who = f"{users} {'user' if users == 1 else 'users'}"
    sent = f"{who} sent {tally.sent} mails ({versions or 'none'}) in {result.sending:.0f} s"
    arrived = f"{tally.arrived} of {tally.deliveries} expected deliveries arrived"
    seen = f"that took {result.settling:.1f} s after the last mail ({seen_rate(result):.1f} mails a second in all)"
    lines = [
        f"{sent}: {sent_rate(result):.1f} a second.",
        f"{arrived}, {tally.copies_filed} encrypted copies were filed; {seen}.",
        *_ending(result),
        "",
        f"{'milliseconds':<34}{'count':>8}{'p50':>9}{'p95':>9}{'p99':>9}{'longest':>9}",
    ]
    for step, found in steps.items():
        times = "".join(f"{1000 * seconds:>9,.0f}" for seconds in (found.p50, found.p95, found.p99, found.longest))
        lines.append(f"{_STEPS[step]:<34}{found.count:>8}{times}")
    return "\n".join([*lines, "", *_deviations(result.deviations)])


def _ending(result: Result) -> list[str]:
    if not result.interrupted:
        return []
    left = result.tally.under_way
    return [f"It was ended before its time; {left} mails were still under way and are judged as far as they came."]


def sent_rate(result: Result) -> float:
    """Mails per second that the mail server took."""
    return result.tally.sent / result.sending if result.sending else 0.0


def seen_rate(result: Result) -> float:
    """Mails per second until all of them had been seen, opened and filed: what the whole chain carries."""
    whole = result.sending + result.settling
    return result.tally.sent / whole if whole else 0.0


def counted(deviations: int) -> str:
    """In words."""
    return "1 deviation" if deviations == 1 else f"{deviations} deviations"


def _deviations(found: list[Deviation]) -> list[str]:
    if not found:
        return ["No deviation."]
    counts = Counter(deviation.kind for deviation in found)
    lines = [f"{counted(len(found))}:"]
    for kind in Kind:
        if not counts[kind]:
            continue
        lines.append(f"  {kind.value}: {counts[kind]}")
        shown = [deviation for deviation in found if deviation.kind is kind][:_EXAMPLES]
        lines += [printable(f"    {deviation.person}: {deviation.sentence}") for deviation in shown]
        if counts[kind] > len(shown):
            lines.append(f"    and {counts[kind] - len(shown)} more (--json lists all)")
    return lines
