"""Internal encryption: the certificates of IME addresses, and who may sign containers for whom.

Whoever approves a signer lets somebody send mail in that person's name, so the decision has a page of its own:
thumbprint to compare, what it means, and a box that must be ticked; and every decision is a POST with its token.
"""

from flask import Blueprint, Response, abort, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from ime_gateway.admin.ime_contact import certificate_forms
from ime_gateway.admin.ime_notes import LIST_HINT
from ime_gateway.admin.signer_desk import SignerDesk, is_whole_thumbprint
from ime_gateway.base.errors import UserError
from webui.admin.paging import asked_page, asked_words
from webui.site import Site

_TYPES = {"pem": "application/x-pem-file", "der": "application/pkix-cert", "p7c": "application/pkcs7-mime"}
_LONGEST_NOTE = 500


def ime_pages(site: Site) -> Blueprint:
    """The room."""
    pages = Blueprint("ime", __name__)
    keys, signers = site.desks.ime, site.desks.signers

    @pages.get("/internal-encryption")
    def ime() -> str:
        waiting = asked_page(lambda limit, offset: signers.rows(pending=True, limit=limit, offset=offset))
        moment = site.desks.clock.now()
        return render_template("ime/ime.html", rows=keys.rows(), waiting=waiting, moment=moment, hint=LIST_HINT)

    @pages.get("/internal-encryption/certificates/<domain>/<form>")
    def certificate(domain: str, form: str) -> Response:
        try:
            current = keys.show(domain).current
        except UserError:
            abort(404)
        if current is None or form not in _TYPES:
            abort(404)
        response = make_response(certificate_forms(current.certificate)[form])
        response.headers["Content-Type"] = _TYPES[form]
        response.headers["Content-Disposition"] = f'attachment; filename="ime-{current.domain}.{form}"'
        return response

    @pages.get("/internal-encryption/signers")
    def all_signers() -> str:
        address = asked_words("address")
        try:
            page = asked_page(lambda limit, offset: signers.rows(address=address, limit=limit, offset=offset))
            trouble = ""
        except UserError as error:
            page, trouble = asked_page(lambda limit, offset: ()), str(error)
        return render_template("ime/signers.html", page=page, address=address, trouble=trouble)

    @pages.get("/internal-encryption/signer")
    def signer() -> str:
        return _signer_page(signers, asked_words("thumbprint"), asked_words("address"), "")

    @pages.post("/internal-encryption/signer/approve")
    def approve() -> ResponseReturnValue:
        return _decide(signers, "approve")

    @pages.post("/internal-encryption/signer/revoke")
    def revoke() -> ResponseReturnValue:
        return _decide(signers, "revoke")

    return pages


def _signer_page(desk: SignerDesk, thumbprint: str, address: str, trouble: str) -> str:
    try:
        pin = desk.pin(thumbprint, address)
    except UserError:
        abort(404)
    return render_template("ime/signer.html", pin=pin, trouble=trouble, longest_note=_LONGEST_NOTE)


def _decide(desk: SignerDesk, decision: str) -> ResponseReturnValue:
    """Do what the form says, once its box is ticked; the whole thumbprint only, so that nobody decides by a prefix."""
    thumbprint, address = request.form.get("thumbprint", ""), request.form.get("address", "")[:1000]
    if not is_whole_thumbprint(thumbprint):
        abort(400)
    if not request.form.get("sure"):
        return _signer_page(desk, thumbprint, address, "Nothing was done: tick the box beside the button first."), 400
    actor = current_user.account.name
    try:
        if decision == "approve":
            note = " ".join(request.form.get("note", "")[:_LONGEST_NOTE].split())
            pin, _ = desk.approve(thumbprint, address, note, actor)
            flash(f"The signer of {pin.address} is approved; containers signed with it are taken from now on.")
        else:
            desk.revoke(thumbprint, address, actor)
            flash("The signer is revoked; containers signed with it are refused from now on.")
    except UserError as error:
        return _signer_page(desk, thumbprint, address, f"Nothing was done: {error}"), 400
    return redirect(url_for("ime.ime"), 303)
