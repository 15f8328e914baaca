"""An announced certificate that nobody approved stands in `domain show`, `check` and the log until somebody decides."""

from structlog.testing import capture_logs

from ime_gateway.admin.domain_desk import DomainDesk
from ime_gateway.admin.waiting_certificates import announced_and_waiting
from ime_gateway.app.board import Board
from ime_gateway.app.health import Health, StoreProbe
from ime_gateway.app.housekeeping import keep_house
from ime_gateway.app.metrics_page import GatewayCollector
from ime_gateway.app.preflight.store_checks import check_store
from ime_gateway.ports.incoming import Candidate
from ime_gateway.settings.model import Settings
from ime_gateway.settings.site import PartnerDomain
from tests.pki import make_user

SETTINGS = Settings.model_validate(
    {"smtp": {"hostname": "gw.acme.example"}, "listener": ({"name": "in", "role": "internet", "port": 25},)}
)
NEXT = make_user("domain-confidentiality-authority@bolt.example", kind="p256").certificate


def test_it_is_said_wherever_somebody_looks(store, registry, clock) -> None:
    with registry.transaction(write=True) as live:
        live.put_partner_domain(PartnerDomain(name="bolt.example", encryption="mandatory"), ())
        for origin, owner in (("announcement", "bolt.example"), ("exchange", "other.example")):
            live.candidates.bring(
                Candidate(owner, "domain", NEXT, origin, "x@bolt.example", "<1@x>", "evidence", clock.now())
            )
    clock.moment += 31 * 86_400
    (note,) = DomainDesk(registry, clock).row("bolt.example").notes
    assert f"ime-gateway cert approve {NEXT.thumbprint[:19]}" in note
    assert note in [found.message for found in check_store(store, SETTINGS, clock.now())]
    with capture_logs() as logs:
        keep_house(store, clock.now())
    assert [line["note"] for line in logs if line["event"] == "announced certificate waits"] == [note]
    with registry.transaction(write=True) as live:
        live.candidates.set_state("bolt.example", NEXT.thumbprint, "rejected")
        assert announced_and_waiting(live) == []


def test_how_many_wait_is_a_metric(registry, clock) -> None:
    probe = StoreProbe(registry.check_write, registry.check_live_data)
    probe.ask()
    board = Board(1)

    def scraped() -> float:
        families = GatewayCollector(board, registry, Health(probe, board, {})).collect()
        samples = {sample.name: sample.value for family in families for sample in family.samples}
        return samples["imegw_candidates_pending"]

    assert scraped() == 0
    with registry.transaction(write=True) as live:
        for owner in ("bolt.example", "other.example"):
            live.candidates.bring(Candidate(owner, "domain", NEXT, "exchange", "x@y.example", "", "", clock.now()))
        live.candidates.set_state("other.example", NEXT.thumbprint, "rejected")
    assert scraped() == 1
